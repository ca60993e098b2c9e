// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the parts of a run report about themselves through `facts()`, and what a plan is made from.
/// An unset field is unknown: it is shown as such, and checks that need it are left out.
namespace contrapunto {

/// One tower, or any other part of a model.
struct TowerFacts {
  std::string name = {};
  std::int64_t parameters = 0;
  std::int64_t trainable_parameters = 0;  ///< Those that have gradients and optimizer state.
};

/// The model. A sample is one element of the batch: a pair, or an image with its label.
struct ModelFacts {
  std::string name = {};
  std::vector<TowerFacts> towers = {};
  std::optional<double> forward_gflops = std::nullopt;      ///< Per sample; a multiply-add is two.
  std::optional<std::int64_t> text_context = std::nullopt;  ///< Tokens per text at most.
  /// Elements per sample that the forward pass keeps for backward, and how many of them are kept
  /// when activations are checkpointed.
  std::optional<double> activation_elements = std::nullopt;
  std::optional<double> checkpointed_elements = std::nullopt;
  bool checkpoints_activations = false;           ///< Blocks run again in backward to keep less.
  std::optional<bool> quick_gelu = std::nullopt;  ///< QuickGELU instead of GELU.
  /// Some batch norm uses the statistics of what one process sees in one forward pass: it is
  /// neither frozen nor synchronized over the ranks.
  bool has_local_batch_norm = false;
};

/// The training data.
struct DataFacts {
  std::int64_t samples = 0;      ///< In one epoch, over all ranks.
  std::int64_t batch_size = 0;   ///< Samples in one optimizer step, over all ranks.
  bool drops_last_batch = true;  ///< An epoch ends with its last full batch.
};

/// How a step makes gradients of a batch.
struct StepFacts {
  enum class Chunks {
    kWholeBatch,  ///< The batch passes through the model as one.
    kFixed,       ///< In chunks of `chunk_size` samples.
    kMeasured,    ///< In chunks whose size is measured at the first step.
  };
  std::string name = {};
  Chunks chunks = Chunks::kWholeBatch;
  std::int64_t chunk_size = 0;      ///< Samples of one rank; used with kFixed only.
  std::int64_t forward_passes = 1;  ///< Of each sample in one step; GradCache needs two.
};

/// The optimizer.
struct OptimizerFacts {
  std::string name = {};
  std::optional<double> beta2 = std::nullopt;  ///< Decay of the mean of squared gradients.
  double bytes_per_parameter = 0.0;            ///< State per trainable parameter, over all ranks.
  bool shards_state = false;                   ///< Each rank keeps its part of the state only.
};

/// The learning rate.
struct ScheduleFacts {
  std::string name = {};
  double peak_lr = 0.0;             ///< At the end of the warm-up.
  std::int64_t warmup_steps = 0;    ///< Optimizer steps.
  std::int64_t cooldown_steps = 0;  ///< Optimizer steps at the end; 0: no separate cooldown.
  std::optional<std::int64_t> total_steps = std::nullopt;  ///< Optimizer steps of the whole run.
};

/// Number formats, in bytes.
struct PrecisionFacts {
  std::string name = {};
  double weight_bytes = 4.0;      ///< Per parameter; copies that autocast makes are included.
  double gradient_bytes = 4.0;    ///< Per trainable parameter.
  double activation_bytes = 4.0;  ///< Per element kept for backward.
};

/// The processes of a run.
struct RanksFacts {
  std::int64_t ranks = 1;
};

/// Weights that the model starts from.
struct WeightsFacts {
  std::string name = {};                          ///< File or name; empty when they are random.
  std::optional<bool> quick_gelu = std::nullopt;  ///< Trained with QuickGELU instead of GELU.
};

/// One device. Measure it before the model is put there: the plan counts the model itself.
struct DeviceFacts {
  double free_bytes = 0.0;  ///< 0: unknown.
};

/// Something else that needs memory on every device, such as an average of the weights.
struct MemoryFacts {
  std::string name = {};
  double bytes = 0.0;
};

}  // namespace contrapunto
