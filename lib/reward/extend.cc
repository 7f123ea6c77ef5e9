#include "reward/extend.h"

namespace temper {

[[gnu::weak]] void extend(Registry<RewardOptions>&) {}  // see objective/extend.cc
[[gnu::weak]] void extend(Registry<TransformOptions>&) {}

}  // namespace temper
