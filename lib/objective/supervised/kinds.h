// The factories that registry.cc lists; each is defined in the file of its loss.
#pragma once

#include <memory>

#include "objective/supervised/supervised.h"

namespace temper::objective {

std::unique_ptr<SupervisedOptions> nll();
std::unique_ptr<SupervisedOptions> dft();
std::unique_ptr<SupervisedOptions> comp_sum();
std::unique_ptr<SupervisedOptions> dco();
std::unique_ptr<SupervisedOptions> unlikelihood();
std::unique_ptr<SupervisedOptions> rwr();
std::unique_ptr<SupervisedOptions> phf_awr();
std::unique_ptr<SupervisedOptions> emo();
std::unique_ptr<SupervisedOptions> mml();

}  // namespace temper::objective
