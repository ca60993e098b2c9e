// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Facts that the parts of a run report through `facts()`, from which a plan is made. An unset
/// field is unknown: it is shown as such, and checks that need it are skipped.
namespace contrapunto {

/// One tower, or any other part of a model.
struct TowerFacts {
  std::string name = {};
  std::int64_t parameters = 0;
  std::int64_t trainable_parameters = 0;  ///< Parameters with gradients and optimizer state.
};

/// The model. A sample is one element of the batch: a pair, or an image with its label.
struct ModelFacts {
  std::string name = {};
  std::vector<TowerFacts> towers = {};
  std::optional<double> forward_gflops = std::nullopt;  ///< Per sample; a multiply-add counts as
                                                        ///< two.
  std::optional<std::int64_t> text_context = std::nullopt;  ///< Maximum number of tokens per text.
  /// Elements per sample that the forward pass keeps for the backward pass, and the number that is
  /// kept if activations are checkpointed.
  std::optional<double> activation_elements = std::nullopt;
  std::optional<double> checkpointed_elements = std::nullopt;
  bool checkpoints_activations = false;  ///< Blocks run again in the backward to save memory.
  std::optional<bool> quick_gelu = std::nullopt;  ///< QuickGELU instead of GELU.
  /// Some batch norm uses the statistics of one forward pass of one process: it is neither frozen
  /// nor synchronized over the ranks.
  bool has_local_batch_norm = false;
  /// Some batch norm uses the statistics of a forward pass: it is not frozen.
  bool has_batch_norm = false;
};

/// A frozen model from which the model learns. It runs once per step, forward only, or its
/// embeddings are stored.
struct TeacherFacts {
  std::string name = {};
  std::int64_t parameters = 0;
  double weight = 1.0;  ///< Fraction of the loss that its similarities have.
  std::optional<double> forward_gflops = std::nullopt;  ///< Per sample, of what is not stored.
  double bytes = 0.0;                                   ///< Of its weights on every device.
  std::string weights = {};                             ///< File or name of its weights.
  std::optional<bool> quick_gelu = std::nullopt;        ///< QuickGELU instead of GELU.
  std::string precision = {};                           ///< Name of its precision policy.
  /// Side of its images in pixels, and maximum number of its tokens per text, if it does not read
  /// the student's.
  std::optional<std::int64_t> own_image_size = std::nullopt;
  std::optional<std::int64_t> own_text_context = std::nullopt;
  double feature_weight = 0.0;    ///< Weight of the losses that compare features with its features.
  std::int64_t stored_views = 0;  ///< Views of each image whose embeddings are stored.
  bool stored_texts = false;      ///< The embeddings of the texts are stored.
};

/// The training data.
struct DataFacts {
  std::int64_t samples = 0;      ///< Samples in an epoch, over all ranks.
  std::int64_t batch_size = 0;   ///< Samples in one optimizer step, over all ranks.
  bool drops_last_batch = true;  ///< An epoch ends with its last full batch.
};

/// How a step computes the gradients of a batch.
struct StepFacts {
  enum class Chunks {
    kWholeBatch,  ///< The batch passes through the model as a whole.
    kFixed,       ///< The batch is processed in chunks of `chunk_size` samples.
    kMeasured,    ///< The chunk size is measured in the first step.
  };
  std::string name = {};
  Chunks chunks = Chunks::kWholeBatch;
  std::int64_t chunk_size = 0;      ///< Samples of one rank; used with kFixed only.
  std::int64_t forward_passes = 1;  ///< Forward passes per sample and step; GradCache needs two.
};

/// The optimizer.
struct OptimizerFacts {
  std::string name = {};
  std::optional<double> beta2 = std::nullopt;  ///< Decay of the mean of squared gradients.
  double bytes_per_parameter = 0.0;            ///< State per trainable parameter, over all ranks.
  bool shards_state = false;                   ///< Each rank keeps only its part of the state.
};

/// The learning rate.
struct ScheduleFacts {
  std::string name = {};
  double peak_lr = 0.0;             ///< Learning rate at the end of the warm-up.
  double highest_lr = 0.0;          ///< Highest learning rate of the run; 0: the peak.
  std::int64_t warmup_steps = 0;    ///< Optimizer steps.
  std::int64_t cooldown_steps = 0;  ///< Optimizer steps at the end; 0: no separate cooldown.
  std::optional<std::int64_t> total_steps = std::nullopt;  ///< Optimizer steps of the whole run.
};

/// A part of the run with sizes of its own. An unset value is that of the run.
struct PhaseFacts {
  std::int64_t first_step = 0;
  std::int64_t steps = 0;
  std::int64_t batch_size = 0;  ///< Samples in one optimizer step, over all ranks.
  std::optional<std::int64_t> image_size = std::nullopt;   ///< Side in pixels.
  std::optional<std::int64_t> text_length = std::nullopt;  ///< Maximum number of tokens per text.
  double lr_factor = 1.0;                                  ///< Factor on the learning rate.
  std::optional<double> forward_gflops = std::nullopt;     ///< As in ModelFacts.
  std::optional<double> activation_elements = std::nullopt;
  std::optional<double> checkpointed_elements = std::nullopt;
};

/// Number formats, in bytes.
struct PrecisionFacts {
  std::string name = {};
  double weight_bytes = 4.0;      ///< Per parameter, including copies that autocast makes.
  double gradient_bytes = 4.0;    ///< Per trainable parameter.
  double activation_bytes = 4.0;  ///< Per element that is kept for the backward.
};

/// The processes of a run.
struct RanksFacts {
  std::int64_t ranks = 1;
};

/// Weights from which the model starts.
struct WeightsFacts {
  std::string name = {};                          ///< File or name; empty for random weights.
  std::optional<bool> quick_gelu = std::nullopt;  ///< Trained with QuickGELU instead of GELU.
};

/// One device. Measure it before the model is moved there, because the plan counts the model
/// itself.
struct DeviceFacts {
  double free_bytes = 0.0;  ///< 0: unknown.
};

/// Other memory on every device, such as an average of the weights.
struct MemoryFacts {
  std::string name = {};
  double bytes = 0.0;
};

/// A moving average of the weights.
struct AverageFacts {
  double bytes = 0.0;
  /// Fraction of the average that every update keeps. Unset: it grows from 0, or nothing is
  /// averaged.
  std::optional<double> decay = std::nullopt;
};

}  // namespace contrapunto
