// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/checkpoint/generator_state.hpp"
#include "contrapunto/checkpoint/module_state.hpp"
#include "contrapunto/core/concepts.hpp"
#include "contrapunto/core/error_text.hpp"
#include "contrapunto/core/state.hpp"

namespace contrapunto {

/// The list of everything that a run needs to resume exactly. The same list is used to save and to
/// restore, so neither can forget a part.
///
///   CheckpointParts parts;
///   parts.add("model", *model).add("optimizer", optimizer).add("loader", loader);
///   parts.add_generators();
///   const auto states = parts.save();  // ... and later, in a run with the same parts
///   parts.load(states);
///
/// It holds references, so the parts must outlive it.
class CheckpointParts {
 public:
  /// Adds a part with save_state() and load_state(). Raises if the name is empty, already in use or
  /// contains '/'.
  template <Stateful Part>
  CheckpointParts& add(std::string name, Part& part) {
    return add(
        std::move(name), [&part] { return part.save_state(); },
        [&part](const State& state) { part.load_state(state); });
  }

  /// Adds the parameters and buffers of a module. Saving raises if one of them is NaN or infinite,
  /// so that an unusable checkpoint never replaces a usable one.
  CheckpointParts& add(std::string name, torch::nn::Module& module) {
    return add(
        name,
        [&module, name] {
          auto state = module_state(module);
          for (const auto& [tensor_name, tensor] : state.tensors)
            TORCH_CHECK(!tensor.is_floating_point() || tensor.isfinite().all().item<bool>(),
                        "the part '", name, "' was not saved: its tensor '", tensor_name,
                        "' holds NaN or infinity. Resume from the last checkpoint with a lower "
                        "learning rate, a longer warm-up or fp32");
          return state;
        },
        [&module](const State& state) { load_module_state(module, state); });
  }

  /// Adds LibTorch's random number generators as the part "random".
  CheckpointParts& add_generators() {
    return add(
        "random", [] { return rng_state(); }, [](const State& state) { restore_rng_state(state); });
  }

  /// Returns the states of all parts. They share memory with the parts, so write them before the
  /// next step; `snapshot()` makes copies. Sharded parts are gathered, so every rank must call it.
  [[nodiscard]] std::map<std::string, State> save() const {
    std::map<std::string, State> states;
    for (const auto& part : parts_) states.emplace(part.name, part.save());
    return states;
  }

  /// Works like `save()`, but returns copies on the CPU that no later step changes, for a writer in
  /// another thread.
  [[nodiscard]] std::map<std::string, State> snapshot() const {
    auto states = save();
    for (auto& [_, state] : states)
      for (auto& [name, tensor] : state.tensors)
        tensor = tensor.is_cpu() ? tensor.clone() : tensor.cpu();
    return states;
  }

  /// Restores every part. Raises before anything changes if `states` lacks a part of this list or
  /// has another one, which means that the run was started with other settings. Raises with the
  /// name of the part if one cannot be restored.
  void load(const std::map<std::string, State>& states) const {
    std::string problems;
    for (const auto& part : parts_)
      if (states.count(part.name) == 0) problems += " It lacks the part '" + part.name + "'.";
    for (const auto& [name, _] : states)
      if (!has(name))
        problems += " It holds the part '" + name + "', which this run does not have.";
    TORCH_CHECK(problems.empty(), "the checkpoint does not fit this run.", problems,
                " Resume with the settings that it was written with");
    for (const auto& part : parts_) {
      try {
        part.load(states.at(part.name));
      } catch (const std::exception& error) {
        TORCH_CHECK(false, "the part '", part.name,
                    "' of the checkpoint does not fit this run: ", error_text(error),
                    ". Resume with the settings that it was written with");
      }
    }
  }

 private:
  struct Part {
    std::string name;
    std::function<State()> save;
    std::function<void(const State&)> load;
  };

  CheckpointParts& add(std::string name, std::function<State()> save,
                       std::function<void(const State&)> load) {
    TORCH_CHECK(!name.empty() && name.find('/') == std::string::npos && !has(name),
                "CheckpointParts: the name '", name,
                "' is empty, contains '/' or is already in use");
    parts_.push_back({std::move(name), std::move(save), std::move(load)});
    return *this;
  }

  [[nodiscard]] bool has(const std::string& name) const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [&](const Part& part) { return part.name == name; });
  }

  std::vector<Part> parts_;
};

}  // namespace contrapunto
