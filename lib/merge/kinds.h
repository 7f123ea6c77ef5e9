// The entries of registry.cc.
#pragma once

#include <memory>

#include "merge/method.h"

namespace temper {

std::unique_ptr<MergeOptions> merge_linear();           // linear.cc
std::unique_ptr<MergeOptions> merge_slerp();            // slerp.cc
std::unique_ptr<MergeOptions> merge_task_arithmetic();  // task_arithmetic.cc
std::unique_ptr<MergeOptions> merge_expo();             // task_arithmetic.cc
std::unique_ptr<MergeOptions> merge_ties();             // ties.cc
std::unique_ptr<MergeOptions> merge_dare();             // dare.cc
std::unique_ptr<MergeOptions> merge_model_stock();      // model_stock.cc
std::unique_ptr<MergeOptions> merge_timber();           // timber.cc
std::unique_ptr<MergeOptions> merge_fisher();           // fisher.cc
std::unique_ptr<MergeOptions> merge_regmean();          // regmean.cc
std::unique_ptr<MergeOptions> merge_mats();             // mats.cc
std::unique_ptr<MergeOptions> merge_atlas();            // atlas.cc

}  // namespace temper
