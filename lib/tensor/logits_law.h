// How a model's logits follow from the products of its head.
#pragma once

namespace temper {

// A product z becomes scale z, or softcap tanh(scale z / softcap) with a softcap.
struct LogitsLaw {
  double scale = 1.0;
  double softcap = 0.0;
  bool plain() const { return scale == 1.0 && softcap == 0.0; }
};

}  // namespace temper
