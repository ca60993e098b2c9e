// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times a DataLoader, or with --decode-only libjpeg-turbo on the same images from memory. Its peers
// are loader_open_clip.py and loader_torchvision.py, and run_loader.py starts all of them.
#include <sys/resource.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include <jpeglib.h>

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string data;
  std::string vocabulary;
  std::string interpolation = "bicubic";
  double crop = 0.9;  // smallest fraction of the area
  std::int64_t size = 224;
  std::int64_t batch = 64;
  std::int64_t threads = 1;
  std::int64_t images = 2000;  // at least; whole epochs are measured
  bool decode_only = false;
};

/// Time since the creation: of the clock and of all threads of the process.
class Stopwatch {
 public:
  [[nodiscard]] double wall() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  [[nodiscard]] double cpu() const { return cpu_now() - cpu_start_; }

 private:
  [[nodiscard]] static double cpu_now() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double cpu_start_ = cpu_now();
};

/// Decodes a whole JPEG to RGB as the documentation of libjpeg-turbo does it, 16 rows at a time.
void decode(const std::vector<std::uint8_t>& bytes, std::vector<std::uint8_t>& pixels) {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);  // ends the program on an error
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  const std::size_t stride = std::size_t{info.output_width} * 3;
  if (pixels.size() < stride * info.output_height) pixels.resize(stride * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW rows[16];
    for (std::size_t i = 0; i < 16; ++i)
      rows[i] = pixels.data() +
                std::min<std::size_t>(info.output_scanline + i, info.output_height - 1) * stride;
    jpeg_read_scanlines(&info, rows, 16);
  }
  jpeg_destroy_decompress(&info);
}

nlohmann::json decode_only(const Settings& s, const cp::SampleSource& source) {
  std::vector<std::vector<std::uint8_t>> encoded;
  for (std::int64_t i = 0; i < std::min(source.size(), s.images); ++i)
    encoded.push_back(source.read(i).image);
  std::vector<std::uint8_t> pixels;
  for (const auto& bytes : encoded) decode(bytes, pixels);
  std::int64_t images = 0;
  const Stopwatch watch;
  while (images < s.images)
    for (const auto& bytes : encoded) {
      decode(bytes, pixels);
      ++images;
    }
  return {{"images", images}, {"wall_seconds", watch.wall()}, {"cpu_seconds", watch.cpu()}};
}

nlohmann::json load(const Settings& s, std::shared_ptr<const cp::SampleSource> source) {
  const cp::Tokenizer tokenizer = cp::make_tokenizer(s.vocabulary, 77);
  const cp::ImageTransform transform({.image_size = s.size,
                                      .train = true,
                                      .interpolation = s.interpolation == "bilinear"
                                                           ? cp::Interpolation::kBilinear
                                                           : cp::Interpolation::kBicubic,
                                      .crop_scale = {s.crop, 1.0}});
  cp::DataLoader loader(std::move(source), transform, tokenizer.encode,
                        {.batch_size = s.batch, .threads = s.threads});
  std::int64_t images = 0;
  const auto run_epoch = [&](std::int64_t epoch) {
    loader.start_epoch(epoch);
    while (const auto batch = loader.next()) images += batch->size();
  };
  run_epoch(0);
  images = 0;
  const cp::DataTimes before = loader.statistics().times;
  const Stopwatch watch;
  for (std::int64_t epoch = 1; images < s.images; ++epoch) run_epoch(epoch);
  const double wall = watch.wall();
  const double cpu = watch.cpu();
  cp::DataTimes times = loader.statistics().times;
  times -= before;
  return {{"images", images},
          {"wall_seconds", wall},
          {"cpu_seconds", cpu},
          {"stage_seconds",
           {{"read", times.read},
            {"decode", times.decode},
            {"transform", times.transform},
            {"tokenize", times.tokenize}}}};
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Loading of images and texts, timed"};
  app.add_option("--data", s.data)->required();
  app.add_option("--vocabulary", s.vocabulary, "of CLIP's tokenizer; empty: bytes");
  app.add_option("--interpolation", s.interpolation);
  app.add_option("--crop", s.crop);
  app.add_option("--size", s.size);
  app.add_option("--batch", s.batch);
  app.add_option("--threads", s.threads);
  app.add_option("--images", s.images);
  app.add_flag("--decode-only", s.decode_only);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(1);
  const auto source = cp::open_data_source(s.data);
  nlohmann::json result = s.decode_only ? decode_only(s, *source) : load(s, source);
  result["version"] =
      std::string("contrapunto ") + std::string(cp::kVersion) + ", LibTorch " + TORCH_VERSION;
  std::cout << result.dump() << std::endl;
}
