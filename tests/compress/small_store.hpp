// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "contrapunto/compress/build_teacher_store.hpp"
#include "contrapunto/data/synthetic_shapes.hpp"
#include "contrapunto/step/pair_step_model.hpp"
#include "contrapunto/text/make_tokenizer.hpp"
#include "contrapunto/towers/image_normalizer.hpp"
#include "contrapunto/towers/make_dual_encoder.hpp"
#include "support/catch.hpp"
#include "towers/small_models.hpp"

/// A small teacher and a small source of several shards, for tests of stored embeddings.
namespace contrapunto::test {

inline Tokenizer small_tokenizer() {
  return make_tokenizer("", 16);
}

inline ModelConfig small_clip(std::int64_t image_size) {
  auto config = small_config("ViT-B-32");
  std::get<VisionTransformerOptions>(config.image).image_size = image_size;
  config.text.vocab_size = small_tokenizer().vocab_size;
  return config;
}

inline StepModel<> step_of(const DualEncoder& model, const ModelConfig& config) {
  return pair_step_model(model, torch::kCPU,
                         {.prepare_x = image_normalizer(config), .trim_y = true});
}

/// A frozen teacher with random weights.
inline Teacher small_teacher(std::uint64_t seed = 1, std::int64_t image_size = 32) {
  torch::manual_seed(seed);
  const auto config = small_clip(image_size);
  auto model = make_dual_encoder(config);
  freeze_teacher(*model);
  return {.model = step_of(model, config)};
}

inline ImageTransform random_views(std::int64_t image_size = 32) {
  return ImageTransform({.image_size = image_size,
                         .train = true,
                         .crop_scale = {0.4, 1.0},
                         .horizontal_flip = true,
                         .color_jitter = {0.3, 0.3, 0.3, 0.1},
                         .color_jitter_probability = 0.8,
                         .grayscale_probability = 0.1});
}

/// Pictures in shards of 10 samples: those of `numbers`, so that a source may be a part of another.
class ShardedShapes : public SampleSource {
 public:
  static constexpr std::int64_t kShard = 10;

  explicit ShardedShapes(std::vector<std::int64_t> numbers = {0, 1, 2, 3})
      : numbers_(std::move(numbers)), shapes_({.samples = 1000, .image_size = 40}) {}

  [[nodiscard]] std::int64_t size() const override {
    return kShard * static_cast<std::int64_t>(numbers_.size());
  }
  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    const std::int64_t picture =
        numbers_[static_cast<std::size_t>(index / kShard)] * kShard + index % kShard;
    ++reads;
    if (picture == fails_at) throw std::logic_error("the build is killed");
    EncodedSample sample = shapes_.read(picture);
    if (broken.count(picture)) sample.image = {1, 2, 3};
    if (without_caption.count(picture)) sample.captions = {" "};
    if (changed_image.count(picture)) sample.image[100] ^= 1;
    if (changed_caption.count(picture)) sample.captions[0] += "!";
    if (changed_caption.count(picture)) sample.captions.resize(1);
    return sample;
  }
  [[nodiscard]] std::vector<std::int64_t> shard_sizes() const override {
    return std::vector<std::int64_t>(numbers_.size(), kShard);
  }
  [[nodiscard]] std::vector<DataShard> shards() const override {
    std::vector<DataShard> all;
    for (const auto number : numbers_)
      all.push_back({"part-" + std::to_string(number) + ".tar", kShard,
                     static_cast<std::uint64_t>(1000 + number) + version});
    return all;
  }

  mutable std::atomic<int> reads{0};
  std::int64_t fails_at = -1;
  std::uint64_t version = 0;
  std::set<std::int64_t> broken, without_caption, changed_image, changed_caption;

 private:
  std::vector<std::int64_t> numbers_;
  SyntheticShapes shapes_;
};

/// Builds a store with three views in `folder`.
inline TeacherStoreReport build_small_store(const std::filesystem::path& folder,
                                            std::shared_ptr<const SampleSource> source,
                                            const Teacher& teacher,
                                            TeacherStoreOptions options = {.replay = {3, 7}},
                                            std::int64_t image_size = 32) {
  if (options.batch_size == 64) options.batch_size = 4;
  return build_teacher_store(folder, std::move(source), teacher, random_views(image_size),
                             small_tokenizer().encode, options);
}

/// The rows of a store as numbers.
inline at::Tensor row_of(std::string_view bytes, at::ScalarType dtype) {
  const auto row = torch::empty({static_cast<std::int64_t>(bytes.size()) / 2}, dtype);
  std::memcpy(row.mutable_data_ptr(), bytes.data(), bytes.size());
  return row.to(torch::kFloat);
}

/// Largest relative error of rounding to `dtype`.
inline double half_ulp(at::ScalarType dtype) {
  return dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
}

/// Whether `stored` is `exact` rounded to `dtype`: half a unit in the last place of every number,
/// with the rounding of float32 in another order of operations, and fp16's smallest step near 0.
inline bool is_rounded(const at::Tensor& stored, const at::Tensor& exact, at::ScalarType dtype) {
  const auto bound = exact.abs() * half_ulp(dtype) + 1e-6;
  return (stored - exact).abs().le(bound).all().item<bool>();
}

}  // namespace contrapunto::test
