// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times the augmentation of training images to 224 x 224: with the transform in one thread of the
// host, what is left for that thread when a device augments, and the device. The images are 256 of
// 500 x 375 pixels of noise. Prints one line of JSON per case.
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <contrapunto/data/detail/image_packer.hpp>
#include <contrapunto/kernels.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "median_seconds.hpp"

namespace cp = contrapunto;

namespace {

constexpr std::int64_t kImages = 256;

int runs_on(const torch::Device& device) {
  return device.is_cuda() ? 50 : 5;
}

void print(const char* changes, const char* what, const torch::Device& device, double seconds) {
  std::cout << nlohmann::json{{"benchmark", "augment_images"},
                              {"changes", changes},
                              {"what", what},
                              {"device", device.str()},
                              {"microseconds_per_image", seconds / kImages * 1e6}}
            << "\n";
}

}  // namespace

int main() {
  const torch::Device cpu(torch::kCPU);
  const torch::Device device(torch::cuda::is_available() ? torch::kCUDA : torch::kCPU);
  cp::RgbImage image(500, 375);
  cp::RandomStream noise(1);
  for (std::size_t i = 0; i < image.bytes(); ++i)
    image.data()[i] = static_cast<std::uint8_t>(noise.next());
  cp::ImageTransformOptions crop{.train = true, .horizontal_flip = true};
  cp::ImageTransformOptions all = crop;
  all.color_jitter = {0.4, 0.4, 0.4, 0.1};
  all.color_jitter_probability = 0.8;
  all.grayscale_probability = 0.2;
  all.erasing.probability = 0.25;
  all.erasing.fill = cp::ErasingFill::kNoise;
  for (const auto& [changes, options] : {std::pair{"crop and flip", crop}, std::pair{"all", all}}) {
    const cp::ImageTransform transform(options);
    cp::ImageTransform::Workspace work;
    const auto each = [&](const auto& make) {
      for (std::int64_t i = 0; i < kImages; ++i) {
        cp::RandomStream random(1, 0, static_cast<std::uint64_t>(i));
        make(i, transform.draw(image.width(), image.height(), random));
      }
    };
    print(changes, "transform", cpu, median_seconds(cpu, runs_on(cpu), [&] {
            each([&](std::int64_t, const auto& drawn) { transform.apply(image, drawn, work); });
          }));
    cp::PackedImages packed;
    print(changes, "pack", cpu, median_seconds(cpu, runs_on(cpu), [&] {
            cp::detail::ImagePacker packer(
                kImages, {.transforms = {transform}, .pinned = torch::cuda::is_available()});
            each([&](std::int64_t i, const auto& drawn) {
              packer.set_view(i, 0, image, cp::ImageRegion::whole(image), *drawn, work);
            });
            packed = packer.finish();
          }));
    print(changes, "copy and augment", device, median_seconds(device, runs_on(device), [&] {
            static_cast<void>(cp::augment_images(packed, device));
          }));
  }
}
