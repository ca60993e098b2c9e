// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "contrapunto/core/hash.hpp"
#include "contrapunto/data/detail/as_hex.hpp"
#include "contrapunto/data/replayed_views.hpp"
#include "contrapunto/image/image_transform_options.hpp"
#include "contrapunto/image/interpolation.hpp"
#include "contrapunto/image/random_erasing.hpp"
#include "contrapunto/image/resize_mode.hpp"
#include "contrapunto/io/read_file.hpp"

namespace contrapunto {

namespace detail {

/// What two image transforms must have in common to show the same part of an image in the same
/// colors, whatever the size of their output is. Shifts, simple crops and radii of blurs are in
/// pixels of the output, so they also need the same size. Options that came later are only there if
/// they are on, so that older stores can still be used.
[[nodiscard]] inline nlohmann::json view_options(const ImageTransformOptions& o) {
  if (!o.train) return {{"train", false}, {"resize_mode", static_cast<int>(o.resize_mode)}};
  nlohmann::json json = {{"train", true},
                         {"horizontal_flip", o.horizontal_flip},
                         {"color_jitter", o.color_jitter},
                         {"color_jitter_probability", o.color_jitter_probability},
                         {"grayscale_probability", o.grayscale_probability},
                         {"shift_padding", o.shift_padding}};
  if (o.simple_crop_padding) json["simple_crop_padding"] = *o.simple_crop_padding;
  if (o.blur_probability > 0.0) {
    json["blur_probability"] = o.blur_probability;
    json["blur_radius"] = o.blur_radius;
  }
  if (o.solarize_probability > 0.0) {
    json["solarize_probability"] = o.solarize_probability;
    json["solarize_threshold"] = o.solarize_threshold;
  }
  if (!o.augment.empty()) json["augment"] = o.augment;
  if (o.erasing.probability > 0.0) {
    json["erasing_probability"] = o.erasing.probability;
    json["erasing_fill"] = static_cast<int>(o.erasing.fill);
    json["erasing_boxes"] = o.erasing.boxes;
    json["erasing_area"] = o.erasing.area;
    json["erasing_ratio"] = o.erasing.ratio;
  }
  if (!o.augment.empty() || o.erasing.probability > 0.0) {
    json["image_mean"] = o.image_mean;
    json["image_std"] = o.image_std;
  }
  const bool may_blur = o.blur_probability > 0.0 || o.augment.find("3a") != std::string::npos;
  if (o.shift_padding > 0 || o.simple_crop_padding || may_blur) json["image_size"] = o.image_size;
  if (o.shift_padding == 0 && !o.simple_crop_padding) {
    json["crop_scale"] = o.crop_scale;
    json["crop_ratio"] = o.crop_ratio;
  }
  return json;
}

/// Raises with `where` for the first value of `stored` that differs from that of `wanted`.
inline void require_same_values(const std::string& where, const nlohmann::json& stored,
                                const nlohmann::json& wanted) {
  const auto value = [](const nlohmann::json& json, const std::string& name) {
    const auto found = json.find(name);
    return found == json.end() ? std::string("not set") : found->dump();
  };
  const auto require_same = [&](const std::string& name) {
    TORCH_CHECK(value(stored, name) == value(wanted, name), where, "was built with ", name, " = ",
                value(stored, name), ", but here it is ", value(wanted, name),
                "; use the value of the store, or build another store");
  };
  require_same("train");  // The other options of a transform depend on it.
  auto all = stored;
  all.update(wanted);
  for (const auto& item : all.items()) require_same(item.key());
}

}  // namespace detail

/// What a store of teacher embeddings holds and what it was made with. It is the file `store.json`
/// of the store.
struct TeacherStoreInfo {
  static constexpr std::int64_t kVersion = 1;
  static constexpr const char* kFile = "store.json";

  std::string teacher = {};  ///< Name of the model.
  std::uint64_t weights_checksum = 0;
  std::int64_t width = 0;            ///< Of the embeddings.
  at::ScalarType dtype = at::kHalf;  ///< Of the stored embeddings: kHalf or kBFloat16.
  bool texts = true;                 ///< Whether the embeddings of the captions are stored.
  ReplayedViews replay = {};         ///< Views of each image that are stored; 0: none.
  /// Of the views. The size and the interpolation are those of the teacher.
  ImageTransformOptions transform = {};
  std::uint64_t tokenizer_checksum = 0;  ///< Token ids of a probe text; 0 without texts.
  double scale = 1.0;                    ///< Of the teacher's logits.
  std::optional<double> bias = std::nullopt;

  /// Whether embeddings of images are stored.
  [[nodiscard]] bool images() const { return replay.views > 0; }

  /// Bytes of the embeddings of one sample with `captions` captions, without the tables of about 8
  /// bytes for each embedding.
  [[nodiscard]] double sample_bytes(double captions) const {
    return 2.0 * static_cast<double>(width) *
           (static_cast<double>(replay.views) + (texts ? captions : 0.0));
  }

  [[nodiscard]] nlohmann::json json() const {
    nlohmann::json json = {{"version", kVersion},
                           {"teacher", teacher},
                           {"weights_checksum", detail::as_hex(weights_checksum)},
                           {"width", width},
                           {"dtype", dtype == at::kHalf ? "float16" : "bfloat16"},
                           {"texts", texts},
                           {"views", replay.views},
                           {"scale", scale}};
    if (bias) json["bias"] = *bias;
    if (texts) json["tokenizer_checksum"] = detail::as_hex(tokenizer_checksum);
    if (images()) {
      json["seed"] = replay.seed;
      json["transform"] = detail::view_options(transform);
      json["teacher_image"] = {{"size", transform.image_size},
                               {"interpolation", static_cast<int>(transform.interpolation)}};
    }
    return json;
  }

  /// Identifies the store: every file of a shard names it.
  [[nodiscard]] std::uint64_t checksum() const { return checksum_of(json().dump()); }

  /// Reads `store.json` of the store in `folder`. Raises if there is none, if it is damaged, and if
  /// it is of another version.
  [[nodiscard]] static TeacherStoreInfo read(const std::filesystem::path& folder) {
    const auto path = folder / kFile;
    TORCH_CHECK(std::filesystem::is_regular_file(path), "'", folder.string(),
                "' is not a store of teacher embeddings, because it has no ", kFile,
                "; build one with store_teacher");
    const auto where = "'" + path.string() + "' ";
    TeacherStoreInfo info;
    try {
      const auto json = nlohmann::json::parse(read_file(path));
      const auto version = json.at("version").get<std::int64_t>();
      TORCH_CHECK(version == kVersion, where, "has version ", version,
                  ", and this program reads version ", kVersion, "; build the store again");
      const auto hex = [&](const char* name) {
        const auto digits = json.at(name).get<std::string>();
        std::uint64_t value = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        TORCH_CHECK(error == std::errc{} && end == digits.data() + digits.size(), where, "has ",
                    name, " '", digits, "', which is not a hexadecimal number");
        return value;
      };
      info.teacher = json.at("teacher").get<std::string>();
      info.weights_checksum = hex("weights_checksum");
      info.width = json.at("width").get<std::int64_t>();
      const auto type = json.at("dtype").get<std::string>();
      TORCH_CHECK(type == "float16" || type == "bfloat16", where, "has dtype '", type,
                  "' instead of float16 or bfloat16");
      info.dtype = type == "float16" ? at::kHalf : at::kBFloat16;
      info.texts = json.at("texts").get<bool>();
      info.replay.views = json.at("views").get<std::int64_t>();
      info.scale = json.at("scale").get<double>();
      if (json.contains("bias")) info.bias = json.at("bias").get<double>();
      if (info.texts) info.tokenizer_checksum = hex("tokenizer_checksum");
      if (info.images()) {
        info.replay.seed = json.at("seed").get<std::uint64_t>();
        info.read_transform(json.at("transform"), json.at("teacher_image"));
      }
    } catch (const nlohmann::json::exception& error) {
      TORCH_CHECK(false, where, "cannot be read (", error.what(),
                  "); it is damaged, so build the store again");
    }
    TORCH_CHECK(info.width > 0 && info.replay.views >= 0, where, "has width ", info.width, " and ",
                info.replay.views, " views; it is damaged, so build the store again");
    return info;
  }

 private:
  void read_transform(const nlohmann::json& json, const nlohmann::json& image) {
    ImageTransformOptions& o = transform;
    o.image_size = image.at("size").get<std::int64_t>();
    o.interpolation = static_cast<Interpolation>(image.at("interpolation").get<int>());
    o.train = json.at("train").get<bool>();
    if (!o.train) {
      o.resize_mode = static_cast<ResizeMode>(json.at("resize_mode").get<int>());
      return;
    }
    json.at("horizontal_flip").get_to(o.horizontal_flip);
    json.at("color_jitter").get_to(o.color_jitter);
    json.at("color_jitter_probability").get_to(o.color_jitter_probability);
    json.at("grayscale_probability").get_to(o.grayscale_probability);
    json.at("shift_padding").get_to(o.shift_padding);
    if (json.contains("simple_crop_padding"))
      o.simple_crop_padding = json.at("simple_crop_padding").get<std::int64_t>();
    const auto read_if_there = [&](const char* name, auto& value) {
      if (json.contains(name)) json.at(name).get_to(value);
    };
    read_if_there("blur_probability", o.blur_probability);
    read_if_there("blur_radius", o.blur_radius);
    read_if_there("solarize_probability", o.solarize_probability);
    read_if_there("solarize_threshold", o.solarize_threshold);
    read_if_there("augment", o.augment);
    read_if_there("erasing_probability", o.erasing.probability);
    int fill = static_cast<int>(o.erasing.fill);
    read_if_there("erasing_fill", fill);
    o.erasing.fill = static_cast<ErasingFill>(fill);
    read_if_there("erasing_boxes", o.erasing.boxes);
    read_if_there("erasing_area", o.erasing.area);
    read_if_there("erasing_ratio", o.erasing.ratio);
    read_if_there("image_mean", o.image_mean);
    read_if_there("image_std", o.image_std);
    if (o.shift_padding > 0 || o.simple_crop_padding) return;
    json.at("crop_scale").get_to(o.crop_scale);
    json.at("crop_ratio").get_to(o.crop_ratio);
  }
};

}  // namespace contrapunto
