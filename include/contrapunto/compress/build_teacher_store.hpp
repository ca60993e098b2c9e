// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/compress/teacher_checksum.hpp"
#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/embeddings.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/data_report.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/detail/skip_counter.hpp"
#include "contrapunto/data/detail/teacher_shard.hpp"
#include "contrapunto/data/replayed_views.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/teacher_store_info.hpp"
#include "contrapunto/data/view_name.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/image/rgb_image.hpp"
#include "contrapunto/io/atomic_file.hpp"
#include "contrapunto/io/file_lock.hpp"
#include "contrapunto/precision/autocast_guard.hpp"
#include "contrapunto/step/with_teachers.hpp"

namespace contrapunto {

/// How far a build is.
struct TeacherStoreProgress {
  std::int64_t shards = 0;           ///< Shards of the data.
  std::int64_t finished_shards = 0;  ///< Of these, known to be finished by any process.
  std::int64_t samples = 0;          ///< Samples that this process has finished.
  std::int64_t embeddings = 0;       ///< Their views and captions.
  bool waiting = false;              ///< Other processes build all the shards that are left.
};

struct TeacherStoreOptions {
  /// Shown in plans and messages. For a teacher of plain functions it is all that identifies the
  /// weights.
  std::string name = "teacher";
  /// Views of each image to store; views == 0 stores no images.
  ReplayedViews replay = {.views = 1};
  bool texts = true;                 ///< Store the embeddings of all captions.
  at::ScalarType dtype = at::kHalf;  ///< Of the stored embeddings: kHalf or kBFloat16.
  std::int64_t batch_size = 64;      ///< Images, or texts, in one forward of the teacher.
  std::int64_t threads = 2;          ///< Batches that are decoded at the same time.
  std::int64_t pad_text_to = 0;  ///< Padded text length in tokens; 0: the longest text of a batch,
                                 ///< for towers that do not read the padding.
  std::int64_t max_pixels = kDefaultMaxPixels;  ///< Larger images are unusable; 0: no limit.
  double max_unusable_fraction = 0.1;           ///< As LoaderOptions::max_unusable_fraction.
  /// Called after each batch, and from time to time while waiting.
  std::function<void(const TeacherStoreProgress&)> on_progress = {};
};

/// What a build did.
struct TeacherStoreReport {
  TeacherStoreInfo info = {};
  std::int64_t built_shards = 0;  ///< By this call; other processes built the rest, or did before.
  std::int64_t samples = 0;       ///< In the shards that this call built.
  DataReport unusable = {};       ///< Samples among them without embeddings.
};

namespace detail {

/// The work of build_teacher_store().
class TeacherStoreBuilder {
 public:
  /// See DataLoader::Tokenize.
  using Tokenize = std::function<std::vector<std::int64_t>(std::string_view)>;

  TeacherStoreBuilder(std::filesystem::path folder, std::shared_ptr<const SampleSource> source,
                      Teacher teacher, const ImageTransform& transform, Tokenize tokenize,
                      TeacherStoreOptions options)
      : folder_(std::move(folder)),
        source_(std::move(source)),
        teacher_(std::move(teacher)),
        transform_(transform),
        tokenize_(std::move(tokenize)),
        o_(std::move(options)),
        reader_(source_, o_.max_pixels, 0,
                {.decode = o_.replay.views > 0, .checksum = o_.replay.views > 0}),
        skips_(source_->size(), o_.max_unusable_fraction, "build_teacher_store") {
    check();
    describe();
  }

  TeacherStoreReport run() {
    create_store();
    find_leftovers();
    const auto shards = source_->shards();
    progress_.shards = static_cast<std::int64_t>(shards.size());
    struct Pending {
      DataShard shard;
      std::int64_t first = 0;  // Index of its first sample.
    };
    std::vector<Pending> pending;
    std::int64_t first = 0;
    for (const auto& shard : shards) {
      pending.push_back({shard, first});
      first += shard.samples;
    }
    // A process takes the first shard that nobody else is building. The lock ends with its process,
    // so the shard of a killed one is free again.
    while (!pending.empty()) {
      const auto left = pending.size();
      std::erase_if(pending, [&](const Pending& next) {
        const bool finished = finish_shard(next.shard, next.first);
        if (finished) ++progress_.finished_shards;
        return finished;
      });
      progress_.waiting = !pending.empty() && pending.size() == left;
      report_progress();
      if (progress_.waiting) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    report_.info = info_;
    report_.unusable = skips_.report();
    return report_;
  }

 private:
  /// Some consecutive samples of a shard, decoded and transformed.
  struct Chunk {
    std::int64_t begin = 0;  // Place of the first sample in the shard.
    Batch images;            // The views of the usable samples; the keys are their places.
    struct Sample {
      std::string problem;  // Why it cannot be used; empty if it can.
      std::uint64_t image_hash = 0;
      std::vector<std::int64_t> caption_hashes;
    };
    std::vector<Sample> samples;
    std::vector<std::vector<std::int64_t>> tokens;  // Of all captions, in order.
  };

  void check() const {
    const auto where = "build_teacher_store: ";
    TORCH_CHECK(source_->size() > 0, where, "the source holds no sample");
    TORCH_CHECK(o_.replay.views >= 0, where, "replay.views (", o_.replay.views,
                ") must not be negative");
    TORCH_CHECK(o_.texts || o_.replay.views > 0, where,
                "neither images nor texts are to be stored; set replay.views or texts");
    TORCH_CHECK(!o_.texts || tokenize_, where, "texts are to be stored, but tokenize is empty");
    TORCH_CHECK(o_.replay.views <= 1 || transform_.options().train, where, "the ", o_.replay.views,
                " views of an image would be equal, because the transform is not random; set "
                "ImageTransformOptions::train, or store 1 view");
    TORCH_CHECK(o_.dtype == at::kHalf || o_.dtype == at::kBFloat16, where, "dtype ", o_.dtype,
                " must be Half or BFloat16");
    TORCH_CHECK(o_.batch_size > 0, where, "batch_size (", o_.batch_size, ") must be positive");
    TORCH_CHECK(o_.threads > 0, where, "threads (", o_.threads, ") must be positive");
    TORCH_CHECK(teacher_.model.encoders.size() == 2 && teacher_.model.head, where,
                "the teacher must be a model of images and texts, as pair_step_model() makes it");
  }

  /// Encodes one text or one black image to find the width, the scale and the bias.
  void describe() {
    info_ = {.teacher = o_.name,
             .weights_checksum = teacher_checksum(teacher_),
             .dtype = o_.dtype,
             .texts = o_.texts,
             .replay = o_.replay,
             .transform = transform_.options()};
    const std::int64_t size = transform_.options().image_size;
    at::Tensor features;
    if (o_.texts) {
      const auto tokens = tokenize_("A photo of two dogs, in the snow!");
      info_.tokenizer_checksum = checksum_of(bytes_of(tokens));
      features = stored(encode(1, padded({tokens}, 0, 1)));
    } else {
      features = stored(encode(0, at::zeros({1, 3, size, size}, at::kByte)));
    }
    TORCH_CHECK(features.dim() == 2, "build_teacher_store: the teacher's features have shape ",
                features.sizes(), " instead of [B, D]");
    info_.width = features.size(1);
    const at::NoGradGuard no_grad;
    const auto wide = features.to(at::kFloat);
    const Embeddings e = teacher_.model.head({Features(wide), Features(wide)}, {});
    info_.scale = e.scale.item<double>();
    if (e.bias) info_.bias = e.bias->item<double>();
  }

  /// Writes `store.json`, or compares it if there is one.
  void create_store() {
    std::filesystem::create_directories(folder_ / "locks");
    for (;;) {
      const auto lock = FileLock::try_lock(folder_ / "locks" / "store");
      if (!lock) {  // Another process is here for some milliseconds.
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      if (!std::filesystem::exists(folder_ / TeacherStoreInfo::kFile)) {
        write_file_atomically(folder_ / TeacherStoreInfo::kFile, info_.json().dump(2) + "\n");
        return;
      }
      // Another device may round the exponential in the scale in another way; the weights are
      // equal.
      const auto stored = TeacherStoreInfo::read(folder_);
      info_.scale = stored.scale;
      info_.bias = stored.bias;
      require_same_values("teacher store '" + folder_.string() + "' ", stored.json(), info_.json());
      return;
    }
  }

  /// Finds what killed builders were writing. Only the holder of the lock of a shard removes it.
  void find_leftovers() {
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      if (entry.path().filename().string().find(".safetensors.tmp-") != std::string::npos)
        leftovers_.push_back(entry.path());
  }
  void remove_leftovers(const std::filesystem::path& file) {
    std::erase_if(leftovers_, [&](const std::filesystem::path& left) {
      return left.string().starts_with(file.string() + ".tmp-") && std::filesystem::remove(left);
    });
  }

  /// Returns whether the shard is finished, by this process or by another one; false if another
  /// process is building it.
  [[nodiscard]] bool finish_shard(const DataShard& shard, std::int64_t first) {
    const auto file = folder_ / teacher_shard_file(shard);
    const auto is_there = [&] {
      if (!std::filesystem::exists(file)) return false;
      const TeacherShard opened(folder_, info_, shard);  // Raises if it is damaged.
      return true;
    };
    if (is_there()) return true;
    const auto lock = FileLock::try_lock(folder_ / "locks" / file.filename());
    if (!lock) return false;
    if (is_there()) return true;  // Finished between the two lines above.
    if (lock->held()) remove_leftovers(file);
    build(shard, first);
    ++report_.built_shards;
    return true;
  }

  void build(const DataShard& shard, std::int64_t first) {
    TeacherTables tables;
    std::vector<at::Tensor> texts;
    const auto rows = at::TensorOptions().dtype(o_.dtype);
    const auto images = at::zeros({shard.samples * o_.replay.views, info_.width}, rows);
    std::deque<std::future<Chunk>> ahead;
    std::int64_t next = 0;
    const auto prepare_next = [&] {
      const std::int64_t begin = next;
      const std::int64_t end = next = std::min(begin + o_.batch_size, shard.samples);
      ahead.push_back(std::async(std::launch::async, [this, &shard, first, begin, end] {
        return prepare(shard, first, begin, end);
      }));
    };
    while (next < shard.samples && std::ssize(ahead) < o_.threads) prepare_next();
    while (!ahead.empty()) {
      const Chunk chunk = ahead.front().get();
      ahead.pop_front();
      if (next < shard.samples) prepare_next();
      store_images(chunk, images);
      for (std::size_t begin = 0; begin < chunk.tokens.size();
           begin += static_cast<std::size_t>(o_.batch_size))
        texts.push_back(stored(
            encode(1, padded(chunk.tokens, begin, static_cast<std::size_t>(o_.batch_size)))));
      add_to(tables, chunk, first);
      progress_.samples += std::ssize(chunk.samples);
      progress_.embeddings += chunk.images.size() * o_.replay.views + std::ssize(chunk.tokens);
      report_progress();
    }
    const auto all_texts = at::empty({std::ssize(tables.caption_hashes), info_.width}, rows);
    std::int64_t row = 0;
    for (const auto& part : texts) {
      all_texts.narrow(0, row, part.size(0)).copy_(part);
      row += part.size(0);
    }
    write_teacher_shard(folder_, info_, shard, std::move(tables), images, all_texts);
    report_.samples += shard.samples;
  }

  /// Reads, decodes, transforms and tokenizes samples `begin` to `end` of the shard. It uses no
  /// ATen operation other than allocation, because each thread would get its own OpenMP threads.
  [[nodiscard]] Chunk prepare(const DataShard& shard, std::int64_t first, std::int64_t begin,
                              std::int64_t end) {
    Chunk chunk;
    chunk.begin = begin;
    chunk.samples.resize(static_cast<std::size_t>(end - begin));
    BatchBuilder::Options tensors;
    for (std::int64_t view = 0; view < o_.replay.views; ++view)
      tensors.images.push_back({view_name(view), transform_.options().image_size});
    BatchBuilder builder(begin, end - begin, tensors);
    ImageTransform::Workspace work;
    ReadingWorkspace reading;
    for (std::int64_t place = begin; place < end; ++place) {
      auto& out = chunk.samples[static_cast<std::size_t>(place - begin)];
      try {
        const auto sample = reader_.read(first + place, reading);
        if (o_.texts && sample->captions.empty())
          throw DataError(sample->source + ": " + sample->key + ": no caption");
        out.image_hash = sample->encoded_checksum;
        if (o_.replay.views > 0) reader_.decode(sample, sample->region.full_box(), 1, reading);
        for (std::int64_t view = 0; view < o_.replay.views; ++view) {
          RandomStream random = o_.replay.stream(shard, place, view);
          transform_(sample->pixels, random, work);
          builder.set_image(place - begin, static_cast<std::size_t>(view), work.square);
        }
        for (const auto& caption : sample->captions) {
          if (!o_.texts) break;
          chunk.tokens.push_back(tokenize_(caption));
          out.caption_hashes.push_back(hash_of(caption));
        }
        builder.set_row(place - begin, {}, std::nullopt, std::to_string(place));
      } catch (const DataError& error) {
        out.problem = error.what();
      }
    }
    chunk.images = builder.finish();
    return chunk;
  }

  /// Computes the embeddings of the views and writes them to their rows of `images`.
  void store_images(const Chunk& chunk, const at::Tensor& images) const {
    if (chunk.images.size() == 0) return;
    auto* const rows = static_cast<char*>(images.mutable_data_ptr());
    const auto size = info_.width * 2;  // Bytes of a row.
    for (std::int64_t view = 0; view < o_.replay.views; ++view) {
      const auto features = stored(encode(0, chunk.images.at(view_name(view))));
      const auto* from = static_cast<const char*>(features.const_data_ptr());
      for (const auto& key : chunk.images.keys) {
        const std::int64_t row = std::stoll(key) * o_.replay.views + view;
        std::memcpy(rows + row * size, from, static_cast<std::size_t>(size));
        from += size;
      }
    }
  }

  void add_to(TeacherTables& tables, const Chunk& chunk, std::int64_t first) {
    for (std::size_t i = 0; i < chunk.samples.size(); ++i) {
      const auto& sample = chunk.samples[i];
      if (!sample.problem.empty())
        static_cast<void>(
            skips_.add_failed(first + chunk.begin + static_cast<std::int64_t>(i), sample.problem));
      tables.usable.push_back(sample.problem.empty());
      if (o_.replay.views > 0)
        tables.image_hashes.push_back(static_cast<std::int64_t>(sample.image_hash));
      tables.caption_hashes.insert(tables.caption_hashes.end(), sample.caption_hashes.begin(),
                                   sample.caption_hashes.end());
      tables.first_caption.push_back(std::ssize(tables.caption_hashes));
    }
    skips_.add_used(std::ssize(chunk.samples));
  }

  /// Returns the features of a batch as the teacher computes them in a step.
  [[nodiscard]] at::Tensor encode(std::size_t encoder, const at::Tensor& input) const {
    const at::NoGradGuard no_grad;
    const AutocastGuard autocast(teacher_.precision, teacher_.device);
    return teacher_.model.encoders[encoder].forward(input).tensors.front();
  }

  /// Returns features as they are stored, on the CPU.
  [[nodiscard]] at::Tensor stored(const at::Tensor& features) const {
    const auto rows = features.to(at::kCPU).to(o_.dtype).contiguous();
    TORCH_CHECK(at::isfinite(rows).all().item<bool>(), "build_teacher_store: the teacher ", o_.name,
                " computed an embedding that is not finite; check its weights and its precision");
    return rows;
  }

  /// Returns at most `count` texts from `begin` on as one tensor, padded with 0.
  [[nodiscard]] at::Tensor padded(const std::vector<std::vector<std::int64_t>>& texts,
                                  std::size_t begin, std::size_t count) const {
    const std::size_t end = std::min(begin + count, texts.size());
    std::size_t length = static_cast<std::size_t>(o_.pad_text_to);
    for (std::size_t i = begin; i < end; ++i) length = std::max(length, texts[i].size());
    auto batch = at::zeros(
        {static_cast<std::int64_t>(end - begin), static_cast<std::int64_t>(length)}, at::kLong);
    auto* out = batch.mutable_data_ptr<std::int64_t>();
    for (std::size_t i = begin; i < end; ++i, out += length)
      std::copy(texts[i].begin(), texts[i].end(), out);
    return batch;
  }

  void report_progress() const {
    if (o_.on_progress) o_.on_progress(progress_);
  }

  std::filesystem::path folder_;
  std::shared_ptr<const SampleSource> source_;
  Teacher teacher_;
  ImageTransform transform_;
  Tokenize tokenize_;
  TeacherStoreOptions o_;
  SampleReader reader_;
  SkipCounter skips_;
  TeacherStoreInfo info_;
  TeacherStoreProgress progress_;
  TeacherStoreReport report_;
  std::vector<std::filesystem::path> leftovers_;
};

}  // namespace detail

/// Fills the store in `folder` with the embeddings that `teacher` computes of all captions of the
/// samples of `source` and of some views of their images, so that training with them runs no
/// teacher; see LoaderOptions::teacher_stores. `transform` makes the views, with the image size of
/// the teacher, and `tokenize` is the teacher's tokenizer. The embeddings are those of the teacher
/// in a step, rounded to the dtype of the store.
///
/// Returns when all shards of the data are finished. Each is written to a temporary file and
/// renamed when it is complete, so a build that was killed continues with the shards that are
/// missing. Several processes may build one store at once; each takes a shard that no other one is
/// building. A store may also be extended to more data.
///
/// Samples that cannot be used are marked and counted, and training replaces them. Raises if the
/// store was begun with another teacher, transform, seed or other option that changes its contents,
/// if a finished file is damaged, if too many samples cannot be used, if an embedding is not
/// finite, and if a file cannot be written.
inline TeacherStoreReport build_teacher_store(
    const std::filesystem::path& folder, std::shared_ptr<const SampleSource> source,
    const Teacher& teacher, const ImageTransform& transform,
    std::function<std::vector<std::int64_t>(std::string_view)> tokenize,
    TeacherStoreOptions options = {}) {
  TORCH_CHECK(source, "build_teacher_store: no source given");
  return detail::TeacherStoreBuilder(folder, std::move(source), teacher, transform,
                                     std::move(tokenize), std::move(options))
      .run();
}

}  // namespace contrapunto
