// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs the image pipeline for data_parity.py:
//   parity_data decode SHARDS OUT
//   parity_data eval SHARDS OUT SIZE shortest|longest|squash bicubic|bilinear
//   parity_data crop SHARDS OUT SIZE LEFT TOP WIDTH HEIGHT
//   parity_data color SHARDS OUT brightness|contrast|saturation|hue|gray FACTOR
//   parity_data simple SHARDS OUT SIZE LEFT TOP              places in the resized image, in pixels
//   parity_data operation SHARDS OUT NAME ARGUMENT bicubic|bilinear     NAME is timm's
//   parity_data erase SHARDS OUT SIZE LEFT TOP WIDTH HEIGHT RED GREEN BLUE          evaluated first
//   parity_data levels                 prints NAME LEVEL SIGN ARGUMENT for each operation of timm
//   parity_data draws NAME COUNT SIZE  prints KIND ARGUMENT for each operation of COUNT images
// OUT is a safetensors file, one uint8 [H, W, 3] tensor for each sample key.
#include <torch/torch.h>

#include <algorithm>
#include <iostream>
#include <string>

#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/image/apply_operation.hpp"
#include "contrapunto/image/augment_policy.hpp"
#include "contrapunto/image/decode_image.hpp"
#include "contrapunto/image/detail/leveled_operations.hpp"
#include "contrapunto/image/erase_box.hpp"
#include "contrapunto/image/image_transform.hpp"
#include "contrapunto/io/safetensors.hpp"

namespace {

using namespace contrapunto;

at::Tensor pixels(RgbImage& image) {
  return torch::from_blob(image.data(), {image.height(), image.width(), 3}, torch::kByte).clone();
}

at::Tensor evaluated(const RgbImage& image, const std::vector<std::string>& args) {
  const ResizeMode mode = args[4] == "longest"  ? ResizeMode::kLongest
                          : args[4] == "squash" ? ResizeMode::kSquash
                                                : ResizeMode::kShortest;
  const ImageTransform transform(
      {.image_size = std::stoll(args[3]),
       .interpolation = args[5] == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic,
       .resize_mode = mode});
  return transform(image).permute({1, 2, 0}).contiguous();
}

at::Tensor cropped(const RgbImage& image, const std::vector<std::string>& args) {
  const std::int64_t size = std::stoll(args[3]);
  RgbImage out;
  Resizer()(image,
            {std::stoll(args[4]), std::stoll(args[5]), std::stoll(args[6]), std::stoll(args[7])},
            size, size, {0, 0, size, size}, out);
  return pixels(out);
}

at::Tensor colored(RgbImage& image, const std::vector<std::string>& args) {
  const double factor = std::stod(args[4]);
  if (args[3] == "brightness") adjust_brightness(image, factor);
  if (args[3] == "contrast") adjust_contrast(image, factor);
  if (args[3] == "saturation") adjust_saturation(image, factor);
  if (args[3] == "hue") adjust_hue(image, factor);
  if (args[3] == "gray") to_grayscale(image);
  return pixels(image);
}

at::Tensor simply_cropped(const RgbImage& image, const std::vector<std::string>& args) {
  const ImageTransform transform({.image_size = std::stoll(args[3])});
  const double size = std::stod(args[3]);
  ImageTransform::Workspace work;
  transform.apply(
      image, Augmentation{.simple_crop = {{std::stod(args[4]) / size, std::stod(args[5]) / size}}},
      work);
  return pixels(work.square);
}

at::Tensor operated(RgbImage& image, const std::vector<std::string>& args) {
  const auto& all = contrapunto::detail::leveled_operations();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& o) { return o.name == args[3]; });
  TORCH_CHECK(found != all.end(), "unknown operation ", args[3]);
  const bool is_blur = found->kind == ImageOperation::Kind::kBlur;
  const double argument = std::stod(args[4]) / (is_blur ? static_cast<double>(image.width()) : 1.0);
  apply_operation(image, {found->kind, argument},
                  args[5] == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic,
                  {123, 117, 104});
  return pixels(image);
}

at::Tensor erased(const RgbImage& image, const std::vector<std::string>& args) {
  ImageTransform::Workspace work;
  const std::int64_t size = std::stoll(args[3]);
  ImageTransform({.image_size = size}).apply(image, std::nullopt, work);
  const auto number = [&](std::size_t i) { return std::stod(args[i]); };
  const auto all = static_cast<double>(size);
  erase_box(work.square, {.width = number(6) / all,
                          .height = number(7) / all,
                          .left = (number(4) + 0.5) / (all - number(6) + 1),
                          .top = (number(5) + 0.5) / (all - number(7) + 1),
                          .color = {number(8), number(9), number(10)}});
  return pixels(work.square);
}

void print_levels() {
  for (const auto& operation : contrapunto::detail::leveled_operations())
    for (const double level : {0.0, 0.1, 0.33, 0.5, 0.7, 0.9, 1.0})
      for (const double sign : {1.0, -1.0})
        if (sign > 0.0 || operation.has_sign)
          std::cout << operation.name << " " << level * 10 << " " << sign << " "
                    << operation.argument(level, sign) << "\n";
}

void print_draws(const std::vector<std::string>& args) {
  const AugmentPolicy policy(args[1]);
  for (std::int64_t i = 0; i < std::stoll(args[2]); ++i) {
    RandomStream random(1, 0, static_cast<std::uint64_t>(i));
    for (const auto& operation : policy.draw(std::stoll(args[3]), random))
      std::cout << static_cast<int>(operation.kind) << " " << operation.argument << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  std::cout.precision(17);
  if (args.at(0) == "levels") return print_levels(), 0;
  if (args[0] == "draws") return print_draws(args), 0;
  const ShardSource source(args.at(1), {.index = {.folder = "indexes_of_data_parity"}});
  TensorMap results;
  RgbImage image;
  for (std::int64_t i = 0; i < source.size(); ++i) {
    const EncodedSample sample = source.read(i);
    decode_image(sample.image, image);
    at::Tensor& result = results[sample.key];
    if (args[0] == "decode") result = pixels(image);
    if (args[0] == "eval") result = evaluated(image, args);
    if (args[0] == "crop") result = cropped(image, args);
    if (args[0] == "color") result = colored(image, args);
    if (args[0] == "simple") result = simply_cropped(image, args);
    if (args[0] == "operation") result = operated(image, args);
    if (args[0] == "erase") result = erased(image, args);
  }
  write_safetensors(args[2], results);
  std::cout << results.size() << " images\n";
}
