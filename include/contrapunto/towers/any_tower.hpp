// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "contrapunto/core/concepts.hpp"
#include "contrapunto/nn/detail/module_pointer.hpp"
#include "contrapunto/nn/forward_cost.hpp"

namespace contrapunto {

/// Groups of a tower's parameters, from the input to the output. Each group lists names of
/// submodules and parameters. Parameters that no group lists belong to the first group.
using LockGroups = std::vector<std::vector<std::string>>;

/// A type-erased tower, for code that must not depend on the tower type, with the pointer syntax of
/// a module holder. It converts from every `Tower`. These further members of a tower are optional
/// and are used if they exist:
///
///   `ForwardCost cost(int64_t tokens) const`
///       Cost of one sample, for forward_gflops and activation_bytes; `tokens` is the length of
///       trimmed texts, and 0 means the longest.
///   `LockGroups lock_groups() const`
///       For lock_tower.
///   `int64_t accept_images(int64_t image_size)`
///       For the phases of a training; returns the size before.
///   `void checkpoint_activations(bool on)`
///       For checkpoint_activations.
///   `string open_clip_name(const string& name) const`
///       For open_clip_state and load_open_clip_state.
///   `Tensor fit_open_clip_tensor(const string& name, const Tensor& source) const`
///       For load_open_clip_state.
class AnyTower : public detail::ModulePointer {
 public:
  AnyTower() = default;

  template <class T>
  requires Tower<T> && detail::ModuleHolder<T> AnyTower(T tower)
      : ModulePointer(tower.ptr()),
        forward_([tower](const at::Tensor& x) mutable -> at::Tensor { return tower(x); }) {
    if constexpr (requires { tower->cost(std::int64_t{}); })
      cost_ = [tower](std::int64_t tokens) -> ForwardCost { return tower->cost(tokens); };
    if constexpr (requires { tower->lock_groups(); })
      lock_groups_ = [tower]() -> LockGroups { return tower->lock_groups(); };
    if constexpr (requires { tower->accept_images(std::int64_t{}); })
      accept_images_ = [tower](std::int64_t size) mutable -> std::int64_t {
        return tower->accept_images(size);
      };
    if constexpr (requires { tower->checkpoint_activations(true); })
      checkpoint_activations_ = [tower](bool on) mutable { tower->checkpoint_activations(on); };
    if constexpr (requires(const std::string& name) { tower->open_clip_name(name); })
      open_clip_name_ = [tower](const std::string& name) -> std::string {
        return tower->open_clip_name(name);
      };
    if constexpr (requires(const std::string& name, const at::Tensor& source) {
                    tower->fit_open_clip_tensor(name, source);
                  })
      fit_open_clip_tensor_ = [tower](const std::string& name,
                                      const at::Tensor& source) -> at::Tensor {
        return tower->fit_open_clip_tensor(name, source);
      };
  }

  /// Calls the tower's forward.
  [[nodiscard]] at::Tensor operator()(const at::Tensor& x) const { return forward_(x); }

  /// Returns the cost of one sample, or nothing if the tower does not report it.
  [[nodiscard]] std::optional<ForwardCost> cost(std::int64_t tokens = 0) const {
    if (!cost_) return std::nullopt;
    return cost_(tokens);
  }

  /// Returns the groups for lock_tower, or nothing if the tower does not list them.
  [[nodiscard]] std::optional<LockGroups> lock_groups() const {
    if (!lock_groups_) return std::nullopt;
    return lock_groups_();
  }

  /// Whether accept_images() is supported.
  [[nodiscard]] bool can_accept_images() const { return static_cast<bool>(accept_images_); }

  /// Lets the tower take images of `image_size` pixels from now on, with the same parameters.
  /// Returns the size before. Raises if the tower does not support it.
  std::int64_t accept_images(std::int64_t image_size) const {
    TORCH_CHECK(accept_images_, "accept_images: the tower '", ptr()->name(),
                "' has no member `int64_t accept_images(int64_t image_size)`, which images of "
                "several sizes in one training need; see docs/guides/extending.md, Towers");
    return accept_images_(image_size);
  }

  /// Whether checkpoint_activations() is supported.
  [[nodiscard]] bool can_checkpoint_activations() const {
    return static_cast<bool>(checkpoint_activations_);
  }

  /// Turns activation checkpointing of the tower's blocks on or off. Raises if the tower does not
  /// support it.
  void checkpoint_activations(bool on) const {
    TORCH_CHECK(checkpoint_activations_, "checkpoint_activations: the tower '", ptr()->name(),
                "' has no member `void checkpoint_activations(bool on)`; add one that wraps its "
                "blocks in activation_checkpoint(), see docs/guides/extending.md, Towers");
    checkpoint_activations_(on);
  }

  /// Returns the name of the tensor `name` in OpenCLIP's tower; by default the same name.
  [[nodiscard]] std::string open_clip_name(const std::string& name) const {
    return open_clip_name_ ? open_clip_name_(name) : name;
  }

  /// Converts `source`, an OpenCLIP tensor for the tensor `name` of this tower, to the tower's
  /// shape if possible; by default returns it unchanged.
  [[nodiscard]] at::Tensor fit_open_clip_tensor(const std::string& name,
                                                const at::Tensor& source) const {
    return fit_open_clip_tensor_ ? fit_open_clip_tensor_(name, source) : source;
  }

 private:
  std::function<at::Tensor(const at::Tensor&)> forward_;
  std::function<ForwardCost(std::int64_t)> cost_;
  std::function<LockGroups()> lock_groups_;
  std::function<std::int64_t(std::int64_t)> accept_images_;
  std::function<void(bool)> checkpoint_activations_;
  std::function<std::string(const std::string&)> open_clip_name_;
  std::function<at::Tensor(const std::string&, const at::Tensor&)> fit_open_clip_tensor_;
};

}  // namespace contrapunto
