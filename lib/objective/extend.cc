#include "objective/extend.h"

// Weak: a definition in the program takes their place at link time. They stand in a file without callers, so
// that no compiler takes the empty body for granted.

namespace temper::objective {

[[gnu::weak]] void extend(Registry<PolicyAlgorithm>&) {}
[[gnu::weak]] void extend(Registry<PreferenceLossOptions>&) {}
[[gnu::weak]] void extend(Registry<SupervisedOptions>&) {}

}  // namespace temper::objective
