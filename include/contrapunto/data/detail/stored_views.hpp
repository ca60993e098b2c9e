// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/random.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/batch_builder.hpp"
#include "contrapunto/data/detail/sample_reader.hpp"
#include "contrapunto/data/detail/shard_places.hpp"
#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/replayed_views.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/data/teacher_feature_names.hpp"
#include "contrapunto/data/teacher_store.hpp"
#include "contrapunto/image/image_transform.hpp"

namespace contrapunto::detail {

/// The replayed views and the teacher stores of a loader; see LoaderOptions. It does nothing if
/// there are none. Const calls may run in any number of threads.
class StoredViews {
 public:
  /// Opens the stores. Raises if they do not fit the source and the transform, and for options that
  /// cannot be combined.
  StoredViews(const LoaderOptions& options, const SampleSource& source,
              const ImageTransformOptions& transform)
      : replay_(options.replay), run_seed_(options.seed) {
    if (options.teacher_stores.empty() && replay_.views == 0) return;
    TORCH_CHECK(options.train, "DataLoader: teacher stores and replayed views are for training");
    TORCH_CHECK(replay_.views >= 0, "DataLoader: replay.views (", replay_.views,
                ") must not be negative");
    shards_ = source.shards();
    places_ = ShardPlaces(shards_);
    TORCH_CHECK(places_.size() == source.size(), "DataLoader: shards() of the source has ",
                places_.size(), " samples and size() is ", source.size());
    for (const std::string& folder : options.teacher_stores) {
      stores_.push_back(std::make_shared<const TeacherStore>(folder, shards_));
      stores_.back()->require_views_of(transform);
      const TeacherStoreInfo& info = stores_.back()->info();
      has_texts_ |= info.texts;
      if (!info.images()) continue;
      if (replay_.views == 0) replay_ = info.replay;
      TORCH_CHECK(replay_ == info.replay, "DataLoader: teacher store '", folder, "' has ",
                  info.replay.views, " views of seed ", info.replay.seed, ", but ", replay_.views,
                  " views of seed ", replay_.seed,
                  " are replayed; all stores of a run need the same views");
    }
    TORCH_CHECK(replay_.views == 0 || options.views == 1, "DataLoader: ", options.views,
                " views of an image in a batch cannot be combined with replayed views");
    TORCH_CHECK(replay_.views <= 1 || transform.train, "DataLoader: the ", replay_.views,
                " replayed views of an image would be equal, because the transform is not random; "
                "set ImageTransformOptions::train");
  }

  [[nodiscard]] const std::vector<std::shared_ptr<const TeacherStore>>& stores() const {
    return stores_;
  }

  /// Whether embeddings of captions are read.
  [[nodiscard]] bool has_texts() const { return has_texts_; }

  /// The tensors that set_features() fills.
  [[nodiscard]] std::vector<BatchBuilder::Features> tensors() const {
    std::vector<BatchBuilder::Features> all;
    for (std::size_t i = 0; i < stores_.size(); ++i) {
      const TeacherStoreInfo& info = stores_[i]->info();
      const auto number = static_cast<std::int64_t>(i);
      if (info.images()) all.push_back({teacher_image_features(number), info.dtype, info.width});
      if (info.texts) all.push_back({teacher_text_features(number), info.dtype, info.width});
    }
    return all;
  }

  /// Raises DataError if a store has no embeddings of sample `index`.
  void require_usable(std::int64_t index) const {
    for (const auto& store : stores_) store->require_usable(index);
  }

  /// Writes the embeddings of the view of sample `index` in epoch `epoch`, and of caption
  /// `caption`, to a row of `builder`. If views are replayed, replaces `random` by the random
  /// numbers of this view.
  void set_features(BatchBuilder& builder, std::int64_t row, std::int64_t epoch, std::int64_t index,
                    const DecodedSample& sample, std::int64_t caption, RandomStream& random) const {
    std::int64_t view = 0;
    if (replay_.views > 0) {
      view = replay_.view_in(run_seed_, epoch, index);
      const auto [shard, place] = places_(index);
      random = replay_.stream(shards_[shard], place, view);
    }
    std::size_t tensor = 0;
    for (const auto& store : stores_) {
      if (store->info().images())
        builder.set_features(row, tensor++, store->image(index, view, sample.encoded_checksum));
      if (store->info().texts) {
        const std::string& text = sample.captions[static_cast<std::size_t>(caption)];
        builder.set_features(row, tensor++, store->text(index, caption, text));
      }
    }
  }

  /// Adds to the state of a loader what identifies the views and the stores, if there are any.
  void save_to(State& state) const {
    if (replay_.views > 0 || !stores_.empty()) state.scalars["stored_views"] = identity();
  }

  /// Raises if both this and the state have stored views, and they are not the same.
  void check(const State& state) const {
    if ((replay_.views == 0 && stores_.empty()) || state.scalars.count("stored_views") == 0) return;
    TORCH_CHECK(state.scalar<std::int64_t>("stored_views") == identity(),
                "DataLoader: the checkpoint was made with other stored views or other teacher "
                "stores; resume with those, or start another run");
  }

 private:
  [[nodiscard]] std::int64_t identity() const {
    std::uint64_t sum = checksum_of(std::to_string(replay_.views), replay_.seed);
    for (const auto& store : stores_) sum = checksum_of(as_hex(store->info().checksum()), sum);
    return static_cast<std::int64_t>(sum);
  }

  ReplayedViews replay_;
  std::uint64_t run_seed_;
  std::vector<DataShard> shards_;
  ShardPlaces places_;
  std::vector<std::shared_ptr<const TeacherStore>> stores_;
  bool has_texts_ = false;
};

}  // namespace contrapunto::detail
