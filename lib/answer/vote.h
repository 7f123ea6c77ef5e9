// Counting votes for answers.
#pragma once

#include <string>

#include "answer/answer.h"

namespace temper {

// A spelling that answers which say the same share, whatever their notation: of numbers the number, of other
// formulas their kind and a fingerprint, the values at fixed points (those that differ share one by a chance
// below 2^-100). Where same_answer() sees through more than notation (a list for a tuple, 90 degrees for
// pi/2), votes are apart.
std::string vote(const FinalAnswer& answer);

}  // namespace temper
