#include "reward/extend.h"

namespace temper {

[[gnu::weak]] void extend(Registry<RewardOptions>&) {}  // see objective/extend.cc

}  // namespace temper
