// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace contrapunto {

/// A module that reads the weights of its linear layers and convolutions in one place, so that a
/// function of a weight can replace the weight: a low-rank update, a mask or a quantizer. All
/// modules of the library that multiply by a matrix derive from it; find them with
/// `module.as<ParametrizedModule>()`. It corresponds to torch.nn.utils.parametrize in Python.
class ParametrizedModule : public torch::nn::Module {
 public:
  /// Returns the names of the parameters that can be parametrized.
  [[nodiscard]] std::vector<std::string> weight_names() const {
    std::vector<std::string> names;
    for (const auto& weight : weights_) names.push_back(weight.name);
    return names;
  }

  /// From now on forwards use `parametrization(weight)`, which must have the shape of the weight,
  /// instead of the parameter `name`. The parametrization is a module holder. It becomes the
  /// submodule `name_label`, so that its parameters are trained, saved and moved with the others.
  /// Later parametrizations receive the result of earlier ones. Raises if there is no weight `name`
  /// or if the label is already in use.
  template <class Holder>
  void parametrize(const std::string& name, const std::string& label, Holder parametrization) {
    auto& weight = find(name);
    register_module(name + "_" + label, parametrization);
    weight.maps.push_back(
        {name + "_" + label, [parametrization](const at::Tensor& value) mutable -> at::Tensor {
           return parametrization->forward(value);
         }});
    parametrized_ = true;
  }

  /// Returns the tensor by which forwards multiply: `weight`, a parameter of this module, or the
  /// result of its parametrizations. Raises if they change the shape.
  [[nodiscard]] at::Tensor effective_weight(const at::Tensor& weight) const {
    if (!parametrized_) return weight;
    for (const auto& known : weights_) {
      if (!known.parameter.is_same(weight)) continue;
      auto value = weight;
      for (const auto& map : known.maps) value = map.second(value);
      TORCH_CHECK(value.sizes() == weight.sizes(), name(), ": the parametrization of '", known.name,
                  "' ", weight.sizes(), " returned ", value.sizes(), "; it must keep the shape");
      return value;
    }
    return weight;
  }

  /// Writes the effective weights into the parameters and removes the parametrizations, whose
  /// parameters no longer belong to the module. Outputs stay the same.
  void merge_parametrizations_() {
    const at::NoGradGuard no_grad;
    for (auto& weight : weights_) {
      if (weight.maps.empty()) continue;
      weight.parameter.copy_(effective_weight(weight.parameter));
      for (const auto& map : weight.maps) unregister_module(map.first);
      weight.maps.clear();
    }
    parametrized_ = false;
  }

 protected:
  /// Registers a parameter that forwards read through effective_weight.
  at::Tensor& register_weight(const std::string& name, const at::Tensor& value) {
    auto& parameter = register_parameter(name, value);
    weights_.push_back({name, parameter, {}});
    return parameter;
  }

 private:
  struct Weight {
    std::string name;
    at::Tensor parameter;
    std::vector<std::pair<std::string, std::function<at::Tensor(const at::Tensor&)>>> maps;
  };

  Weight& find(const std::string& name) {
    std::string known;
    for (auto& weight : weights_) {
      if (weight.name == name) return weight;
      known += (known.empty() ? "" : ", ") + weight.name;
    }
    TORCH_CHECK(false, this->name(), ": there is no weight '", name,
                "' that can be parametrized; there are: ", known.empty() ? "none" : known);
  }

  std::vector<Weight> weights_;
  bool parametrized_ = false;
};

}  // namespace contrapunto
