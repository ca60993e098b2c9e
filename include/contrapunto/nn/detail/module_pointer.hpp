// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace contrapunto::detail {

/// A module holder made by TORCH_MODULE.
template <class T>
concept ModuleHolder = std::is_base_of_v<torch::nn::Module, typename T::ContainedType> &&
    requires(const T& holder) {
  { holder.ptr() } -> std::convertible_to<std::shared_ptr<torch::nn::Module>>;
};

/// Owns a module of erased type, with the pointer syntax of LibTorch's holders.
class ModulePointer {
 public:
  ModulePointer() = default;
  explicit ModulePointer(std::shared_ptr<torch::nn::Module> module) : module_(std::move(module)) {}

  [[nodiscard]] const std::shared_ptr<torch::nn::Module>& ptr() const { return module_; }
  torch::nn::Module* operator->() const { return module_.get(); }
  torch::nn::Module& operator*() const { return *module_; }
  explicit operator bool() const { return module_ != nullptr; }

 private:
  std::shared_ptr<torch::nn::Module> module_;
};

}  // namespace contrapunto::detail
