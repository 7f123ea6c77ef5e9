// JSON Schema as a grammar of JSON texts.
#pragma once

#include <string>

#include "base/json_fwd.h"
#include "grammar/automaton.h"

namespace temper {

// Texts of values that fit a schema (draft 2020-12, json-schema.org) with these keywords: type, enum, const,
// properties, required, additionalProperties, prefixItems, items, minItems, maxItems, minLength, maxLength,
// pattern, format (date, time, date-time, uuid, email, ipv4), minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, multipleOf of a whole number up to 100, allOf, anyOf, oneOf, $ref to a place in the
// schema itself, $defs, definitions, and notes, which ask nothing. Any other is an error. Every text fits the
// schema; what of the fitting texts is left out:
//  - properties stand in the schema's order, those that it does not name behind them. Where it names some and
//    says nothing of additionalProperties, there are no others (its default would be any).
//  - without `type`, keywords of one type alone mean that type.
//  - oneOf is read as anyOf.
//  - white space: none, one space, or a line end with up to 24 spaces, behind { [ , : and before } ], and
//    nowhere else. None around the whole.
//  - what enum, const and pattern say, and names of properties, is spelt in one way, without spaces.
//  - whole numbers have no fraction; 18 digits at most stand on a side of the point, two in an exponent, none
//    with bounds.
//  - a date is of the years 1000 to 2999 and no 29 February; an address of email is letters, digits, . _ + -.
// Names may come twice among those that the schema does not name.
// Throws UserError with `where` and the place in the schema: unknown keywords, a keyword's value that is
// none, what is not offered together (pattern with a length or a format), a $ref that leads nowhere or back
// to itself before any text, a schema that no value fits, an automaton that is too large.
Automaton schema_automaton(const Json& schema, const std::string& where);

}  // namespace temper
