// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "contrapunto/data/loader_options.hpp"
#include "contrapunto/data/open_data_source.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/log/format.hpp"
#include "contrapunto/settings/detail/setting_text.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

namespace detail {

/// Reads "all", "part N" or a number of samples. The result is 0, -N or the number.
[[nodiscard]] inline std::int64_t parse_epoch_samples(const std::string& text) {
  std::int64_t number = 0;
  if (text == "all") return 0;
  const bool part = text.starts_with("part ");
  const auto expected = read_setting(part ? std::string_view(text).substr(5) : text, number);
  TORCH_CHECK(expected.empty() && number > 0, "epoch-samples is '", text,
              "'; it must be a positive number, 'all', or 'part 1' and so on");
  return part ? -number : number;
}

/// Returns LoaderOptions::epoch_samples for a setting.
[[nodiscard]] inline std::int64_t epoch_samples_of(const std::string& text,
                                                   const SampleSource& source) {
  const std::int64_t samples = parse_epoch_samples(text);
  if (samples >= 0) return samples;
  const auto parts = source.parts();
  TORCH_CHECK(-samples <= std::ssize(parts), "epoch-samples is '", text, "', but train-data has ",
              parts.size(), " parts with data-shares");
  const auto sizes = source.shard_sizes();
  auto begin = sizes.begin();
  double shares = 0.0;
  for (const SourcePart& part : parts) shares += part.share;
  for (auto part = parts.begin(); part != parts.begin() + (-samples - 1); ++part)
    begin += part->shards;
  const SourcePart& chosen = parts[static_cast<std::size_t>(-samples - 1)];
  const auto own = std::accumulate(begin, begin + chosen.shards, std::int64_t{0});
  return std::llround(static_cast<double>(own) * shares / chosen.share);
}

[[nodiscard]] inline std::vector<double> numbers_of(const std::string& name,
                                                    const std::vector<std::string>& texts) {
  std::vector<double> numbers;
  for (const auto& text : texts) {
    const auto expected = read_setting(text, numbers.emplace_back());
    TORCH_CHECK(expected.empty(), name, " has the entry '", text, "'; it must be ", expected);
  }
  return numbers;
}

}  // namespace detail

/// Settings of the data of a program that reads pairs or images; see open_data_source().
struct DataSettings {
  std::string train_data = "synthetic", eval_data = {};
  std::vector<std::string> caption_fields = {};
  std::vector<std::string> caption_weights = {};  ///< Numbers, one for each of caption_fields.
  std::vector<std::string> caption_templates = {};
  std::vector<std::string> data_shares = {};  ///< Numbers, one for each part of train_data.
  std::string epoch_samples = "all";          ///< A number, "all" or "part N".
  bool resample = false;                      ///< See LoaderOptions::with_replacement.
  std::int64_t shuffle_window = 32;
  std::int64_t read_piece = 0, read_pieces = 8, read_lanes = 8;  ///< See ReadAheadOptions.
  std::string index_folder = {};                                 ///< See ShardIndexOptions::folder.
  std::string stage_folder = {};                                 ///< See ShardStageOptions.
  double stage_gigabytes = 0.0;                                  ///< 10^9 bytes; 0: no limit.
  std::int64_t threads = 2;
  bool cache_decoded = false;
  std::string cache_folder = {};  ///< Of an image cache; see with_image_cache(). Empty: none.
  std::int64_t cache_side = 256, cache_quality = 90;  ///< See ImageCacheRecipe.
  bool scaled_decode = false;                         ///< See LoaderOptions::scaled_decode.
  double max_unusable = 0.01;                         ///< See LoaderOptions::max_unusable_fraction.
};

/// Adds the choice of captions to the current section of `table`, for programs with captions.
/// `data` must outlive the table.
inline void add_caption_settings(SettingsTable& table, DataSettings& data) {
  table.add("caption-fields", data.caption_fields,
            "JSON fields or columns of captions; empty: the usual");
  table.add("caption-weights", data.caption_weights,
            "probability of each of caption-fields; empty: each caption is equally likely");
  table.add("caption-templates", data.caption_templates,
            "captions of labeled samples; {} becomes the name of the class");
}

/// Adds the settings of an image cache to the current section of `table`. `data` must outlive the
/// table.
inline void add_cache_settings(SettingsTable& table, DataSettings& data) {
  table.add("cache-folder", data.cache_folder, "folder that keeps smaller images; empty: none");
  table.add("cache-side", data.cache_side, "largest short side of an image in cache-folder")
      .check(at_least(1));
  table
      .add("cache-quality", data.cache_quality,
           "of the JPEG images in cache-folder, 1 to 100; 0: raw pixels")
      .check(in_range(0, 100));
}

/// Adds all other settings of `data`, which must outlive the table, to the current section of
/// `table`.
inline void add_data_settings(SettingsTable& table, DataSettings& data) {
  table.add("train-data", data.train_data,
            "shards, *.csv, *.tsv, class folders, pipe:COMMAND, 'synthetic'; joined by ::");
  table.add("eval-data", data.eval_data, "labeled images for the evaluation; empty: none");
  table
      .add("index-folder", data.index_folder,
           "folder for the indexes of shards; empty: beside each shard")
      .may_change();
  table
      .add("stage-folder", data.stage_folder,
           "local folder to which shards are copied ahead of their use; empty: none")
      .may_change();
  table.add("stage-gigabytes", data.stage_gigabytes, "most GB of these copies; 0: no limit")
      .check(at_least(0))
      .may_change();
  table.add("threads", data.threads, "decoding threads per rank").check(at_least(1)).may_change();
  table.add("cache-decoded", data.cache_decoded, "keep decoded images in memory").may_change();
  add_cache_settings(table, data);
  table.add("scaled-decode", data.scaled_decode,
            "decode JPEGs that shrink four times or more at a part of their size");
  table
      .add("max-unusable", data.max_unusable,
           "largest fraction of samples that may be damaged or incomplete")
      .check(in_range(0, 1))
      .may_change();
}

/// Adds the order in which training data is read, for programs that train.
inline void add_order_settings(SettingsTable& table, DataSettings& data) {
  table.add("data-shares", data.data_shares,
            "shares of the parts of train-data in an epoch; empty: by their sizes");
  table
      .add("epoch-samples", data.epoch_samples,
           "samples in an epoch: a number, 'all', or 'part 2': until part 2 was seen once")
      .readable_by(detail::parse_epoch_samples);
  table.add("resample", data.resample, "draw shards with replacement");
  table.add("shuffle-window", data.shuffle_window, "shards that are shuffled together; 0: all")
      .check(at_least(0));
  table
      .add("read-piece", data.read_piece,
           "samples that are read at once, for slow disks; 0: samples are read one by one")
      .check(at_least(0));
  table.add("read-pieces", data.read_pieces, "pieces of a lane that are shuffled together")
      .check(at_least(1));
  table.add("read-lanes", data.read_lanes, "pieces are divided among so many; whole ranks each")
      .check(at_least(1));
}

/// Returns `options` of a loader of `source` with everything that is a setting.
[[nodiscard]] inline LoaderOptions with_data_settings(LoaderOptions options,
                                                      const DataSettings& data,
                                                      const SampleSource& source) {
  options.threads = data.threads;
  options.cache_decoded = data.cache_decoded;
  options.scaled_decode = data.scaled_decode;
  options.max_unusable_fraction = data.max_unusable;
  options.shuffle_window = data.shuffle_window;
  options.epoch_samples = detail::epoch_samples_of(data.epoch_samples, source);
  options.with_replacement = data.resample;
  options.read_ahead = {data.read_piece, data.read_pieces, data.read_lanes};
  return options;
}

/// Opens `spec` with the settings and writes to `out` what was left out, and every ten seconds how
/// many shards are indexed. `synthetic` are the options of the built-in data.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_data(
    const DataSettings& data, const std::string& spec, std::ostream& out,
    const SyntheticShapesOptions& synthetic = {}) {
  using Clock = std::chrono::steady_clock;
  SourceOptions options{
      .caption_fields = data.caption_fields,
      .caption_weights = detail::numbers_of("caption-weights", data.caption_weights),
      .caption_templates = data.caption_templates,
      .synthetic = synthetic};
  if (spec == data.train_data) options.shares = detail::numbers_of("data-shares", data.data_shares);
  options.shards.index.folder = data.index_folder;
  options.shards.stage.folder = data.stage_folder;
  options.shards.stage.bytes = std::llround(data.stage_gigabytes * 1e9);
  options.shards.index.on_progress = [&out, last = Clock::now()](std::int64_t done,
                                                                 std::int64_t scanned,
                                                                 std::int64_t shards) mutable {
    if (scanned == 0 || Clock::now() - last < std::chrono::seconds(10)) return;
    last = Clock::now();
    out << "indexed " << with_commas(done) << " of " << with_commas(shards) << " shards"
        << std::endl;
  };
  auto source = open_data_source(spec, options);
  const DataReport& report = source->report();
  for (const auto& line : report.first) out << "left out " << line << "\n";
  if (const auto more = report.skipped - std::ssize(report.first); more > 0)
    out << "left out " << with_commas(more) << " more\n";
  for (const auto& note : source->notes()) out << spec << ": " << note << "\n";
  return source;
}

}  // namespace contrapunto
