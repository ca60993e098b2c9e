// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/Exception.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/csv.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/detail/choose_caption.hpp"
#include "contrapunto/data/detail/equal_shards.hpp"
#include "contrapunto/data/detail/printable.hpp"
#include "contrapunto/data/detail/random_access_file.hpp"
#include "contrapunto/data/encoded_sample.hpp"
#include "contrapunto/data/sample_source.hpp"
#include "contrapunto/io/read_file.hpp"

namespace contrapunto {
namespace detail {

inline std::vector<std::uint8_t> read_image_file(const std::string& path) {
  const RandomAccessFile file(path);
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace detail

struct CsvSourceOptions {
  std::string image_column = "filepath";
  std::vector<std::string> caption_columns = {"title"};
  /// Probability of each of `caption_columns`, up to a common factor; empty columns of a row leave
  /// theirs to the others. If empty, all captions of a row are equally likely.
  std::vector<double> caption_weights = {};
  std::string label_column = {};  ///< Column of class indices; empty: no labels.
  char separator = '\0';          ///< '\0': a tab for *.tsv, a comma otherwise.
};

/// A table of image paths and captions with one sample per row. Relative paths start at the folder
/// of the table. The text stays in memory, plus 8 bytes per row. Images are opened when they are
/// read. The loader skips rows that cannot be parsed and images that are missing. report() lists a
/// quote that is never closed.
class CsvSource : public SampleSource {
 public:
  /// Raises if the file is missing, has no rows, or lacks one of the columns named in `options`.
  explicit CsvSource(const std::string& path, const CsvSourceOptions& options = {})
      : path_(path), table_(load(path, options)), caption_weights_(options.caption_weights) {
    detail::check_caption_weights("CsvSource", options.caption_columns, caption_weights_);
    image_column_ = require(options.image_column);
    for (const auto& name : options.caption_columns) caption_columns_.push_back(require(name));
    if (!options.label_column.empty()) {
      label_column_ = require(options.label_column);
      has_labels_ = true;
    }
    if (table_.problem()) report_.add(path + ": " + *table_.problem());
    TORCH_CHECK(table_.size() > 0, "CsvSource: '", path, "' has a header but no rows",
                table_.problem() ? "; " + *table_.problem() : "");
    refuse_urls();
  }

  [[nodiscard]] std::int64_t size() const override { return table_.size(); }

  [[nodiscard]] EncodedSample read(std::int64_t index) const override {
    EncodedSample sample = read_row(index);
    sample.image = detail::read_image_file(image_path(sample));
    return sample;
  }

  /// Does not open the image.
  [[nodiscard]] EncodedSample read_without_image(std::int64_t index) const override {
    EncodedSample sample = read_row(index);
    sample.image_bytes = detail::stamp_of(image_path(sample)).size;
    return sample;
  }

  [[nodiscard]] std::optional<std::int64_t> label(std::int64_t index) const override {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "CsvSource: row ", index, " of ", size());
    return has_labels_ ? label_of(row(index)) : std::nullopt;
  }

  /// The checksum is that of the text of the rows.
  [[nodiscard]] std::vector<DataShard> shards() const override {
    return detail::equal_shards(
        std::filesystem::path(path_).filename().string(), size(),
        [&](std::int64_t begin, std::int64_t end) { return checksum_of(table_.text(begin, end)); });
  }

 private:
  [[nodiscard]] EncodedSample read_row(std::int64_t index) const {
    TORCH_CHECK_INDEX(0 <= index && index < size(), "CsvSource: row ", index, " of ", size());
    const auto fields = row(index);
    EncodedSample sample;
    sample.key = fields[image_column_];
    sample.source = path_;
    for (std::size_t i = 0; i < caption_columns_.size(); ++i) {
      const std::string& caption = fields[caption_columns_[i]];
      if (caption.empty()) continue;
      sample.captions.push_back(caption);
      if (!caption_weights_.empty()) sample.caption_weights.push_back(caption_weights_[i]);
    }
    sample.label = label_of(fields);
    return sample;
  }

  [[nodiscard]] std::string image_path(const EncodedSample& sample) const {
    return (std::filesystem::path(path_).parent_path() / sample.key).string();
  }

  /// A training that downloads its images would wait for the slowest server.
  void refuse_urls() const {
    std::string first;
    try {
      first = row(0)[image_column_];
    } catch (const DataError&) {
      return;  // The loader names this row.
    }
    for (const char* scheme : {"http://", "https://", "s3://", "gs://"})
      TORCH_CHECK(!first.starts_with(scheme), "CsvSource: the images of '", path_,
                  "' are URLs, such as '", detail::printable(first),
                  "'. Download them first, for example with img2dataset, which writes shards");
  }

  [[nodiscard]] std::vector<std::string> row(std::int64_t index) const {
    try {
      return table_.row(index);
    } catch (const DataError& error) {
      throw DataError(path_ + ": " + error.what());
    }
  }

  [[nodiscard]] std::optional<std::int64_t> label_of(const std::vector<std::string>& fields) const {
    if (!has_labels_ || fields[label_column_].empty()) return std::nullopt;
    const std::string& text = fields[label_column_];
    std::int64_t label = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), label);
    if (error != std::errc{} || rest != text.data() + text.size())
      throw DataError(path_ + ": " + fields[image_column_] + ": label '" + text +
                      "' is not a whole number");
    return label;
  }

  static CsvTable load(const std::string& path, const CsvSourceOptions& options) {
    const bool tabs = std::filesystem::path(path).extension() == ".tsv";
    const char separator = options.separator != '\0' ? options.separator : tabs ? '\t' : ',';
    try {
      return {read_file(path), separator};
    } catch (const DataError& error) {
      TORCH_CHECK(false, "CsvSource: '", path, "', ", error.what());
    }
  }

  [[nodiscard]] std::size_t require(const std::string& name) const {
    const std::int64_t column = table_.column(name);
    if (column < 0) {
      std::string have;
      for (const auto& other : table_.columns())
        have += (have.empty() ? "'" : "', '") + detail::printable(other);
      TORCH_CHECK(false, "CsvSource: '", path_, "' has no column '", name, "'; its columns are ",
                  have, "'. Name existing columns, or set CsvSourceOptions::separator");
    }
    return static_cast<std::size_t>(column);
  }

  std::string path_;
  CsvTable table_;
  std::size_t image_column_ = 0;
  std::vector<std::size_t> caption_columns_;
  std::vector<double> caption_weights_;
  std::size_t label_column_ = 0;
  bool has_labels_ = false;
};

}  // namespace contrapunto
