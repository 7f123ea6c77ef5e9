// The factories that registry.cc lists; each is defined in the file of its kind.
#pragma once

#include <memory>

#include "optim/optimizer.h"
#include "optim/schedule.h"

namespace temper {

std::unique_ptr<OptimizerOptions> adamw_options();
std::unique_ptr<OptimizerOptions> adamw8bit_options();
std::unique_ptr<OptimizerOptions> sgd_options();
std::unique_ptr<OptimizerOptions> lion_options();
std::unique_ptr<OptimizerOptions> ademamix_options();
std::unique_ptr<OptimizerOptions> soap_options();
std::unique_ptr<OptimizerOptions> adafactor_options();
std::unique_ptr<OptimizerOptions> muon_options();

std::unique_ptr<ScheduleOptions> constant_schedule();
std::unique_ptr<ScheduleOptions> linear_schedule();
std::unique_ptr<ScheduleOptions> cosine_schedule();
std::unique_ptr<ScheduleOptions> rewarm_schedule();
std::unique_ptr<ScheduleOptions> refined_schedule();
std::unique_ptr<ScheduleOptions> wsd_schedule();
std::unique_ptr<ScheduleOptions> inverse_sqrt_schedule();
std::unique_ptr<ScheduleOptions> polynomial_schedule();

}  // namespace temper
