// Numbers between bounds, digit by digit.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "grammar/json_text.h"

namespace temper {
namespace {

using State = GrammarBuilder::State;

bool is_zero(const DecimalBound& b) {
  return b.whole == "0" && b.fraction.empty();
}

bool all_zero(const std::string& digits, size_t from) {
  return from >= digits.size() || digits.find_first_not_of('0', from) == std::string::npos;
}

// A number without sign from least to most (null: no end), both without sign. Of a whole number that is a
// multiple of m the digits so far are remembered by their remainder: behind another digit d it is
// (10 r + d) mod m, and 0 at the end.
class Magnitude {
 public:
  Magnitude(GrammarBuilder& b, const DecimalBound& least, const DecimalBound* most, const NumberRange& range)
      : b_(b), least_(least), most_(most), integer_(range.integer), multiple_of_(range.multiple_of) {}

  State write(State from) {
    end_ = b_.state();
    const size_t longest = most_ == nullptr ? JsonText::kDigits : most_->whole.size();
    for (length_ = least_.whole.size(); length_ <= longest; ++length_)
      whole(from, {static_cast<int64_t>(length_), length_ == least_.whole.size(),
                   most_ != nullptr && length_ == longest, 0});
    return end_;
  }

 private:
  // What is known of the digits so far: how many are still to come before the point (below 0: -1 less those
  // behind it), whether they are those of a bound (tight) or strictly within it, and their remainder. All
  // that may follow depends on this alone, whatever the number's length, for a tight place is one of one
  // length.
  struct Place {
    int64_t left;
    bool tight_least, tight_most;
    int64_t remainder;
    auto operator<=>(const Place&) const = default;
  };

  void whole(State at, const Place& here) {
    if (here.left == 0) {
      if (here.remainder == 0) may_end(at, 0, here);
      if (!integer_) fraction(b_.bytes(at, "."), 0, here);
      return;
    }
    const size_t place = length_ - static_cast<size_t>(here.left);
    const int first = here.tight_least ? least_.whole[place] - '0' : 0;
    const int last = here.tight_most ? most_->whole[place] - '0' : 9;
    for (int d = std::max(first, place == 0 && length_ > 1 ? 1 : 0); d <= last; ++d) {
      const Place next{here.left - 1, here.tight_least && d == first, here.tight_most && d == last,
                       (10 * here.remainder + d) % multiple_of_};
      if (const auto to = digit(at, d, next)) whole(*to, next);
    }
  }

  void fraction(State at, size_t place, const Place& here) {
    if (place > 0) may_end(at, place, here);
    if (place == JsonText::kDigits) return;
    const auto of = [&](const DecimalBound& bound) {
      return place < bound.fraction.size() ? bound.fraction[place] - '0' : 0;
    };
    const int first = here.tight_least ? of(least_) : 0, last = here.tight_most ? of(*most_) : 9;
    for (int d = first; d <= last; ++d) {
      const Place next{-1 - static_cast<int64_t>(place), here.tight_least && d == first,
                       here.tight_most && d == last, 0};
      if (const auto to = digit(at, d, next)) fraction(*to, place + 1, next);
    }
  }

  // With so many digits behind the point, the number is at least and at most what it must be.
  void may_end(State at, size_t place, const Place& here) {
    const bool enough = !here.tight_least || (all_zero(least_.fraction, place) && !least_.exclusive);
    const bool little = !here.tight_most || !most_->exclusive || !all_zero(most_->fraction, place);
    if (enough && little) b_.skip(at, end_);
  }

  // One more digit; where it leads when that place is new.
  std::optional<State> digit(State at, int d, const Place& place) {
    const auto known = known_.find(place);
    const State to = known == known_.end() ? b_.state() : known->second;
    const auto byte = static_cast<uint8_t>('0' + d);
    b_.step(at, {byte, byte}, to);
    if (known != known_.end()) return std::nullopt;
    known_[place] = to;
    return to;
  }

  GrammarBuilder& b_;
  const DecimalBound& least_;
  const DecimalBound* most_;
  bool integer_;
  int64_t multiple_of_;
  size_t length_ = 0;  // digits before the point
  State end_ = 0;
  std::map<Place, State> known_;
};

// a <= b of numbers without sign.
bool ordered(const DecimalBound& a, const DecimalBound& b) {
  return std::tuple(a.whole.size(), a.whole, a.fraction) <= std::tuple(b.whole.size(), b.whole, b.fraction);
}

}  // namespace

DecimalBound decimal_bound(const Json& number, bool exclusive, const std::string& where) {
  std::string text = dump_line(number);
  DecimalBound out;
  out.exclusive = exclusive;
  if (text.starts_with('-')) out.negative = true, text.erase(0, 1);
  int64_t exponent = 0;
  if (const size_t e = text.find('e'); e != std::string::npos) {
    exponent = std::stoll(text.substr(e + 1));
    text.resize(e);
  }
  const size_t point = text.find('.');
  std::string whole = text.substr(0, point),
              fraction = point == std::string::npos ? "" : text.substr(point + 1);
  for (; exponent > 0 && whole.size() < 400; --exponent) {
    whole += fraction.empty() ? '0' : fraction[0];
    if (!fraction.empty()) fraction.erase(0, 1);
  }
  for (; exponent < 0 && fraction.size() < 400; ++exponent) {
    fraction.insert(fraction.begin(), whole.empty() ? '0' : whole.back());
    if (!whole.empty()) whole.pop_back();
  }
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (whole.size() > JsonText::kDigits || fraction.size() > JsonText::kDigits) {
    user_error("{}: the bound {} has more than {} digits on a side of the point", where, dump_line(number),
               JsonText::kDigits);
  }
  out.whole = whole.empty() ? "0" : whole;
  out.fraction = fraction;
  return out;
}

State JsonText::number_without_bounds(State from, bool integer) {
  const auto digits = [&](State at, int64_t least, int64_t most) {
    return b_.repeat(at, least, most, [&](State one) { return b_.characters(one, {{'0', '9'}}); });
  };
  const auto maybe = [&](State at, const GrammarBuilder::Part& part) { return b_.repeat(at, 0, 1, part); };
  State at = maybe(from, [&](State s) { return b_.bytes(s, "-"); });
  at = b_.either(at, {[&](State s) { return b_.bytes(s, "0"); },
                      [&](State s) {
                        return digits(b_.characters(s, {{'1', '9'}}), 0, kDigits - 1);
                      }});
  if (integer) return at;
  at = maybe(at, [&](State s) { return digits(b_.bytes(s, "."), 1, kDigits); });
  return maybe(at, [&](State s) {
    s = b_.characters(s, {{'E', 'E'}, {'e', 'e'}});
    return digits(maybe(s, [&](State sign) { return b_.characters(sign, {{'+', '+'}, {'-', '-'}}); }), 1, 2);
  });
}

State JsonText::number(State from, const NumberRange& range) {
  if (!range.least && !range.most && range.multiple_of == 1)
    return number_without_bounds(from, range.integer);
  const DecimalBound zero;
  const State end = b_.state();
  const auto add = [&](State at, const DecimalBound& least, const DecimalBound* most) {
    if (most != nullptr && !ordered(least, *most)) return;
    b_.skip(Magnitude(b_, least, most, range).write(at), end);
  };
  // 0 and above.
  if (!range.most || !range.most->negative || is_zero(*range.most)) {
    const bool above = range.least && !range.least->negative;
    add(from, above ? *range.least : zero, range.most ? &*range.most : nullptr);
  }
  // 0 and below, behind a minus, where the bounds change places.
  if (!range.least || range.least->negative || is_zero(*range.least)) {
    const bool below = range.most && (range.most->negative || is_zero(*range.most));
    add(b_.bytes(from, "-"), below ? *range.most : zero, range.least ? &*range.least : nullptr);
  }
  return end;
}

}  // namespace temper
