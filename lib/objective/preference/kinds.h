// The factories that preference_registry.cc lists; each is defined in the file of its family.
#pragma once

#include <memory>

#include "objective/preference/preference.h"

namespace temper::objective {

std::unique_ptr<PreferenceLossOptions> dpo();
std::unique_ptr<PreferenceLossOptions> robust();
std::unique_ptr<PreferenceLossOptions> hinge();
std::unique_ptr<PreferenceLossOptions> ipo();
std::unique_ptr<PreferenceLossOptions> exo_pair();
std::unique_ptr<PreferenceLossOptions> discopop();
std::unique_ptr<PreferenceLossOptions> sigmoid_norm();
std::unique_ptr<PreferenceLossOptions> nca_pair();
std::unique_ptr<PreferenceLossOptions> bco_pair();
std::unique_ptr<PreferenceLossOptions> sppo_hard();
std::unique_ptr<PreferenceLossOptions> apo_zero();
std::unique_ptr<PreferenceLossOptions> apo_down();
std::unique_ptr<PreferenceLossOptions> aot();
std::unique_ptr<PreferenceLossOptions> aot_unpaired();
std::unique_ptr<PreferenceLossOptions> simpo();
std::unique_ptr<PreferenceLossOptions> cpo();
std::unique_ptr<PreferenceLossOptions> orpo();
std::unique_ptr<PreferenceLossOptions> kto();
std::unique_ptr<PreferenceLossOptions> apo_zero_unpaired();
std::unique_ptr<PreferenceLossOptions> bco();
std::unique_ptr<PreferenceLossOptions> brio();
std::unique_ptr<PreferenceLossOptions> sami();
std::unique_ptr<PreferenceLossOptions> ofs_dpo();

}  // namespace temper::objective
