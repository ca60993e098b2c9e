// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0

// Runs the image pipeline for data_parity.py:
//   parity_data decode SHARDS OUT
//   parity_data eval SHARDS OUT SIZE shortest|longest|squash bicubic|bilinear
//   parity_data crop SHARDS OUT SIZE LEFT TOP WIDTH HEIGHT
//   parity_data color SHARDS OUT brightness|contrast|saturation|hue|gray FACTOR
// OUT is a safetensors file, one uint8 [H, W, 3] tensor for each sample key.
#include <torch/torch.h>

#include <iostream>
#include <string>

#include "contrapunto/data/shard_source.hpp"
#include "contrapunto/image/decode_image.hpp"
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

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
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
  }
  write_safetensors(args[2], results);
  std::cout << results.size() << " images\n";
}
