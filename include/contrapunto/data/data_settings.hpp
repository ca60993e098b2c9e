// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "contrapunto/data/open_data_source.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/log/format.hpp"
#include "contrapunto/settings/detail/setting_text.hpp"
#include "contrapunto/settings/setting_check.hpp"
#include "contrapunto/settings/settings_table.hpp"

namespace contrapunto {

/// Settings of the data of a program that reads pairs or images; see open_data_source().
struct DataSettings {
  std::string train_data = "synthetic", eval_data = {};
  std::vector<std::string> caption_fields = {};
  std::vector<std::string> caption_weights = {};  ///< Numbers, one for each of caption_fields.
  std::string index_folder = {};                  ///< See ShardIndexOptions::folder.
  std::int64_t threads = 2;
  bool cache_decoded = false;
  bool scaled_decode = false;  ///< See LoaderOptions::scaled_decode.
  double max_unusable = 0.01;  ///< See LoaderOptions::max_unusable_fraction.
};

/// Adds the choice of captions to the current section of `table`, for programs with captions.
/// `data` must outlive the table.
inline void add_caption_settings(SettingsTable& table, DataSettings& data) {
  table.add("caption-fields", data.caption_fields,
            "JSON fields or columns of captions; empty: the usual");
  table.add("caption-weights", data.caption_weights,
            "probability of each of caption-fields; empty: each caption is equally likely");
}

/// Adds all other settings of `data`, which must outlive the table, to the current section of
/// `table`.
inline void add_data_settings(SettingsTable& table, DataSettings& data) {
  table.add("train-data", data.train_data, "shards, *.csv, *.tsv, class folders, or 'synthetic'");
  table.add("eval-data", data.eval_data, "labeled images for the evaluation; empty: none");
  table
      .add("index-folder", data.index_folder,
           "folder for the indexes of shards; empty: beside each shard")
      .may_change();
  table.add("threads", data.threads, "decoding threads per rank").check(at_least(1)).may_change();
  table.add("cache-decoded", data.cache_decoded, "keep decoded images in memory").may_change();
  table.add("scaled-decode", data.scaled_decode,
            "decode JPEGs that shrink four times or more at a part of their size");
  table
      .add("max-unusable", data.max_unusable,
           "largest fraction of samples that may be damaged or incomplete")
      .check(in_range(0, 1))
      .may_change();
}

/// Opens `spec` with the settings and writes to `out` what was left out, and every ten seconds how
/// many shards are indexed. `synthetic` are the options of the built-in data.
[[nodiscard]] inline std::shared_ptr<const SampleSource> open_data(
    const DataSettings& data, const std::string& spec, std::ostream& out,
    const SyntheticShapesOptions& synthetic = {}) {
  using Clock = std::chrono::steady_clock;
  SourceOptions options{.caption_fields = data.caption_fields, .synthetic = synthetic};
  for (const auto& text : data.caption_weights) {
    const auto expected = detail::read_setting(text, options.caption_weights.emplace_back());
    TORCH_CHECK(expected.empty(), "caption-weights has the entry '", text, "'; it must be ",
                expected);
  }
  options.shards.index.folder = data.index_folder;
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
