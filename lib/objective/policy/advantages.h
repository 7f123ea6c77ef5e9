// Advantage estimators by name; the list is in advantages.cc.
#pragma once

#include <string>
#include <vector>

#include "objective/policy/policy.h"

namespace temper::objective {

std::vector<std::string> advantage_names();

// (value - mean) / (deviation + eps), and value - mean, of each row in its group. value [R], NaN: null, left
// out and 0; group [R] int64 -> [R] fp64. 0 in a group of one, or of equal values.
at::Tensor group_zscores(const at::Tensor& value, const at::Tensor& group, double eps);
at::Tensor group_centred(const at::Tensor& value, const at::Tensor& group);

// What the estimator reads beside rewards and groups.
Needs advantage_needs(const std::string& name);

}  // namespace temper::objective
