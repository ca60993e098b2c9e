// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/data/data_shard.hpp"
#include "contrapunto/data/teacher_store_info.hpp"
#include "contrapunto/io/mapped_safetensors.hpp"
#include "contrapunto/io/safetensors.hpp"

namespace contrapunto::detail {

/// Name of the file of `shard` in a store.
[[nodiscard]] inline std::string teacher_shard_file(const DataShard& shard) {
  return shard.name + "-" + as_hex(shard.checksum) + ".safetensors";
}

/// The tables of a shard's file: what is known of each sample, of each view and of each caption.
/// `first_caption` has one more entry than there are samples; captions first_caption[i] to
/// first_caption[i + 1] - 1 are those of sample i.
struct TeacherTables {
  std::vector<std::int64_t> usable;        // Per sample: 1, or 0 if it could not be used.
  std::vector<std::int64_t> image_hashes;  // Per sample: checksum of its encoded image.
  std::vector<std::int64_t> view_sums;     // Per sample and view: checksum of the embedding.
  std::vector<std::int64_t> first_caption = {0};
  std::vector<std::int64_t> caption_hashes;  // Per caption: hash of the text.
  std::vector<std::int64_t> caption_sums;    // Per caption: checksum of the embedding.
};

[[nodiscard]] inline std::string_view bytes_of(const std::vector<std::int64_t>& table) {
  return {reinterpret_cast<const char*>(table.data()), table.size() * sizeof(std::int64_t)};
}

/// Writes the file of `shard`, with embeddings `images` [samples * views, width] and `texts`
/// [captions, width] on the CPU in the dtype of the store. The checksums of the embeddings are
/// filled in here.
inline void write_teacher_shard(const std::filesystem::path& folder, const TeacherStoreInfo& info,
                                const DataShard& shard, TeacherTables tables,
                                const at::Tensor& images, const at::Tensor& texts) {
  const auto sums = [&](const at::Tensor& rows) {
    std::vector<std::int64_t> all;
    const auto size = static_cast<std::size_t>(info.width) * 2;
    const auto* at = static_cast<const char*>(rows.const_data_ptr());
    for (std::int64_t row = 0; row < rows.size(0); ++row, at += size)
      all.push_back(static_cast<std::int64_t>(checksum_of({at, size})));
    return all;
  };
  tables.view_sums = sums(images);
  tables.caption_sums = sums(texts);
  TensorMap tensors = {{"image_embeddings", images}, {"text_embeddings", texts}};
  std::uint64_t sum = 0;
  for (const auto& [name, table] : std::map<std::string, const std::vector<std::int64_t>*>{
           {"usable", &tables.usable},
           {"image_hashes", &tables.image_hashes},
           {"view_sums", &tables.view_sums},
           {"first_caption", &tables.first_caption},
           {"caption_hashes", &tables.caption_hashes},
           {"caption_sums", &tables.caption_sums}}) {
    const auto tensor = at::empty({static_cast<std::int64_t>(table->size())}, at::kLong);
    std::memcpy(tensor.mutable_data_ptr(), table->data(), tensor.nbytes());
    tensors[name] = tensor;
    sum = checksum_of(bytes_of(*table), sum);
  }
  write_safetensors(folder / teacher_shard_file(shard), tensors,
                    {{"store", as_hex(info.checksum())},
                     {"shard", shard.name},
                     {"shard_checksum", as_hex(shard.checksum)},
                     {"samples", std::to_string(shard.samples)},
                     {"captions", std::to_string(tables.caption_hashes.size())},
                     {"tables_checksum", as_hex(sum)}});
}

/// The mapped file of one shard. The tables are checked when it is opened and each embedding when
/// it is read, so that opening a store does not read all of it.
class TeacherShard {
 public:
  /// Raises if the file is damaged, or if it is not that of `shard` in the store of `info`.
  TeacherShard(const std::filesystem::path& folder, const TeacherStoreInfo& info,
               const DataShard& shard)
      : file_(folder / teacher_shard_file(shard)),
        views_(info.replay.views),
        row_bytes_(static_cast<std::size_t>(info.width) * 2) {
    const auto require = [&](const char* name, const std::string& wanted) {
      const std::string& found = metadata(name);
      TORCH_CHECK(found == wanted, "'", path(), "' has ", name, " ", found, " instead of ", wanted,
                  "; it belongs to another store or to other data. ", remedy());
    };
    require("store", as_hex(info.checksum()));
    require("shard_checksum", as_hex(shard.checksum));
    require("samples", std::to_string(shard.samples));
    const std::string& number = metadata("captions");
    std::int64_t captions = -1;
    std::from_chars(number.data(), number.data() + number.size(), captions);
    TORCH_CHECK(captions >= 0, "'", path(), "' has '", number, "' captions; it is damaged. ",
                remedy());
    const std::int64_t samples = shard.samples;
    std::uint64_t sum = 0;
    const auto table = [&](const char* name, std::int64_t size) {
      const auto bytes = file_.at(name, at::kLong, {size}).bytes;
      sum = checksum_of(bytes, sum);
      return reinterpret_cast<const std::int64_t*>(bytes.data());
    };
    // In the order of their names, as they were written.
    caption_hashes_ = table("caption_hashes", captions);
    caption_sums_ = table("caption_sums", captions);
    first_caption_ = table("first_caption", samples + 1);
    image_hashes_ = table("image_hashes", info.images() ? samples : 0);
    usable_ = table("usable", samples);
    view_sums_ = table("view_sums", samples * views_);
    TORCH_CHECK(as_hex(sum) == metadata("tables_checksum"), "'", path(),
                "': the bytes of its tables are not those that were written. ", remedy());
    images_ = file_.at("image_embeddings", info.dtype, {samples * views_, info.width}).bytes;
    texts_ = file_.at("text_embeddings", info.dtype, {captions, info.width}).bytes;
  }

  [[nodiscard]] std::string path() const { return file_.path().string(); }

  [[nodiscard]] bool usable(std::int64_t place) const { return usable_[place] != 0; }

  /// Returns the embedding of a view. Raises if the encoded image has another checksum than that of
  /// which the embedding was made.
  [[nodiscard]] std::string_view image(std::int64_t place, std::int64_t view,
                                       std::uint64_t encoded_checksum) const {
    TORCH_CHECK(static_cast<std::uint64_t>(image_hashes_[place]) == encoded_checksum, "'", path(),
                "': the image of sample ", place,
                " of the shard is not the one whose embedding is stored. ", remedy());
    const std::int64_t row = place * views_ + view;
    return checked(images_, row, view_sums_[row]);
  }

  /// Returns the embedding of caption `caption`. Raises if the sample had another one.
  [[nodiscard]] std::string_view text(std::int64_t place, std::int64_t caption,
                                      std::string_view text) const {
    const std::int64_t row = first_caption_[place] + caption;
    TORCH_CHECK(row < first_caption_[place + 1] && caption_hashes_[row] == hash_of(text), "'",
                path(), "' has no embedding of caption ", caption, " of sample ", place,
                " of the shard ('", std::string(text.substr(0, 60)),
                "'), so the data or the setting of the caption fields is another one. ", remedy());
    return checked(texts_, row, caption_sums_[row]);
  }

 private:
  static const char* remedy() {
    return "Use the data and the image cache that the store was built with, or delete this file "
           "and run store_teacher again, which builds only what is missing";
  }

  [[nodiscard]] const std::string& metadata(const std::string& name) const {
    const auto found = file_.metadata().find(name);
    TORCH_CHECK(found != file_.metadata().end(), "'", path(), "' has no entry '", name,
                "'; it is not a file of a teacher store. ", remedy());
    return found->second;
  }

  [[nodiscard]] std::string_view checked(std::string_view rows, std::int64_t row,
                                         std::int64_t sum) const {
    const auto bytes = rows.substr(static_cast<std::size_t>(row) * row_bytes_, row_bytes_);
    TORCH_CHECK(static_cast<std::int64_t>(checksum_of(bytes)) == sum, "'", path(), "': embedding ",
                row, " is not the one that was written; the disk or a copy has damaged it. ",
                remedy());
    return bytes;
  }

  MappedSafetensors file_;
  std::int64_t views_;
  std::size_t row_bytes_;
  const std::int64_t* caption_hashes_ = nullptr;
  const std::int64_t* caption_sums_ = nullptr;
  const std::int64_t* first_caption_ = nullptr;
  const std::int64_t* image_hashes_ = nullptr;
  const std::int64_t* usable_ = nullptr;
  const std::int64_t* view_sums_ = nullptr;
  std::string_view images_;
  std::string_view texts_;
};

}  // namespace contrapunto::detail
