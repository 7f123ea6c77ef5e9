// The model of a program that only reads it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/hub.h"
#include "base/log.h"
#include "model/model.h"

namespace temper {

struct ModelArguments {
  std::string path, dtype = "auto", device = "cpu", quantise = "none";
};

// Throws UserError.
inline std::unique_ptr<Model> load_model(const ModelArguments& a) {
  Precision precision = make_precision(a.dtype, a.device);
  precision.quantise.kind = quant_kind(a.quantise);
  auto model = Model::load(a.path, precision);
  if (precision.quantise.on()) log_info("{}", quantisation_summary(*model));
  return model;
}

// Whether --model must be given is for the program to say, by what is returned.
inline CLI::Option* add_model_options(CLI::App& app, ModelArguments& a) {
  CLI::Option* model = app.add_option("--model", a.path, "a Hugging Face folder")->transform(model_folder);
  app.add_option("--dtype", a.dtype, "[auto]")->check(CLI::IsMember({"auto", "f32", "bf16"}));
  app.add_option("--quantise", a.quantise, "weights of linears and experts, as in training [none]")
      ->check(CLI::IsMember({"none", "int8", "nf4"}));
  app.add_option("--device", a.device, "cpu or cuda [cpu]");
  return model;
}

}  // namespace temper
