// The second moments of what linears read, and of the gradients of what they give.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model.h"

namespace temper {

// While it lives it stands where the model's delta stood, which is off, and adds up over every pass, by
// linear module id and for the chosen ones, X^T X [in, in] fp32 of the inputs X [tokens, in].
class LinearMoments : public LinearDelta {
 public:
  struct Options {
    bool scaled = false;  // each pass's X is divided by its largest element first
    bool gradients =
        false;  // also, in backward, G^T G [out, out] of the gradients G [tokens, out] of the outputs
  };
  LinearMoments(Model& model, std::vector<bool> chosen, Options options);
  ~LinearMoments() override;

  at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const at::Tensor& x,
                   const at::Tensor& y, bool training) override;

  // Passes while this lives add nothing.
  class Pause {
   public:
    explicit Pause(LinearMoments& of) : of_(of) { of_.paused_ = true; }
    ~Pause() { of_.paused_ = false; }

   private:
    LinearMoments& of_;
  };

  std::vector<at::Tensor> input, gradient;  // by module; undefined before the first pass
  int64_t rows = 0;                         // tokens seen

 private:
  Model& model_;
  std::vector<bool> chosen_;
  Options options_;
  LinearDelta* before_;
  bool paused_ = false;
};

// CorDA's C, by linear module id for the chosen ones: the mean over samples of X^T X, with X divided by its
// largest element first, as the authors do (one sample, one forward pass). Samples are token ids; empty ones
// are passed over. The model's own delta is off meanwhile. Throws UserError when there is no sample.
std::vector<at::Tensor> input_covariance(Model& model, const std::vector<bool>& chosen,
                                         const std::vector<std::vector<int64_t>>& samples);

}  // namespace temper
