// What merges know of a model on data, in a safetensors file that they read tensor by tensor:
//   gram    of each linear, "<module>.gram" [in, in]: the mean over tokens of x x^T, x what the linear reads
//           (RegMean, arXiv 2212.09849)
//   fisher  of each parameter, "<parameter>.fisher" in its shape: the mean over examples of the squared
//           gradient of log p(targets of the example), the diagonal of the Fisher matrix (arXiv 2111.09832)
//   kfac    gram, and "<module>.gradient_gram" [out, out]: the mean over tokens of g g^T, g the gradient of
//           log p(targets of the example) by what the linear gives (MaTS, arXiv 2312.04339)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/records.h"
#include "model/model.h"
#include "tensor/safetensors.h"

namespace temper {

const std::vector<std::string>& statistics_kinds();

struct StatisticsOptions {
  std::string kind = "gram";
  // Of fisher and kfac: the data's own targets (the empirical Fisher), or each target drawn from what the
  // model says behind the data's tokens before it (the Fisher itself).
  bool sampled_labels = false;
  uint64_t seed = 1;  // of these draws
};

// All of them are held in memory until they are written. fp32 throughout: the model's compute dtype must be.
// Which parameters train is changed. Examples without a target are passed over by fisher and kfac. done(n):
// after each example. Throws UserError when nothing is left.
void write_statistics(Model& model, const std::vector<Example>& examples, const StatisticsOptions& options,
                      const std::string& path, const std::function<void(size_t)>& done = {});

// Opens a file of this kind; one of kind kfac has gram. Throws UserError for another.
std::unique_ptr<SafetensorsFile> open_statistics(const std::string& path, const std::string& kind);

}  // namespace temper
