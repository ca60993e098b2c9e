// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
// Times forward and backward of a tiled loss. Its peer is contrastive_loss_open_clip.py, and
// run_contrastive_loss.py starts both. Prints one line of JSON per case.
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <contrapunto/contrapunto.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "median_seconds.hpp"

namespace cp = contrapunto;

namespace {

struct Settings {
  std::string loss = "info_nce";         // or sigmoid, or distill: InfoNCE and affinity mimicking
  std::vector<std::int64_t> n = {8192};  // pairs
  std::vector<std::int64_t> d = {512};   // features of each
  std::string products = "fp32";         // tf32, bf16, fp16: on CUDA
  std::string device = "cpu";
  double keep_bytes = 0.0;
  std::int64_t rows = 0, columns = 0;  // of a tile; 0: the default of the device
  int steps = 5;
  int threads = 2;
};

// A line of /proc/self/status in bytes.
double process_bytes(const std::string& key) {
  std::ifstream lines("/proc/self/status");
  for (std::string line; std::getline(lines, line);)
    if (line.rfind(key + ":", 0) == 0) return 1024.0 * std::stod(line.substr(key.size() + 1));
  return 0.0;
}

// The peak memory of a call beyond what is allocated already: of LibTorch's allocator on CUDA, and
// of the process on the CPU, where the peer has no better measure.
template <class Call>
double peak_bytes(const torch::Device& device, const Call& call) {
  if (device.is_cuda()) {
    const cp::MemoryMeter meter;
    call();
    return static_cast<double>(meter.peak_bytes(torch::kCUDA));
  }
  std::ofstream("/proc/self/clear_refs") << "5";  // resets the high-water mark
  const double before = process_bytes("VmRSS");
  call();
  return process_bytes("VmHWM") - before;
}

// Times one case and prints it.
void run(const Settings& s, std::int64_t n, std::int64_t d) {
  torch::manual_seed(0);
  const torch::Device device(s.device);
  const auto products = s.products == "bf16"   ? torch::kBFloat16
                        : s.products == "fp16" ? torch::kHalf
                                               : torch::kFloat;
  const auto features = [&] {
    const auto x = torch::randn({n, d}, device);
    return (x / x.norm(2, {1}, true)).requires_grad_(true);
  };
  const auto x = features(), y = features();
  const auto teacher_x = features().detach(), teacher_y = features().detach();
  const auto scale = torch::tensor(14.3F, device).requires_grad_(true);
  const auto bias = torch::tensor(-10.0F, device).requires_grad_(true);
  const cp::TileOptions tiles{
      .rows = s.rows, .columns = s.columns, .keep_bytes = s.keep_bytes, .matmul_dtype = products};
  const cp::TiledInfoNce info_nce({.tiles = tiles});
  const cp::TiledSigmoidLoss sigmoid({.tiles = tiles});
  const cp::LossSum distill(cp::WeightedLoss{"contrastive", 1.0, info_nce},
                            cp::WeightedLoss{"affinity", 1.0, cp::AffinityLoss({.tiles = tiles})});
  const auto loss_of = [&]() -> cp::LossTerms {
    const cp::Embeddings e{x, y, scale};
    if (s.loss == "info_nce") return info_nce(e);
    if (s.loss == "sigmoid") return sigmoid(cp::Embeddings{x, y, scale, bias});
    return distill(
        cp::DistilledEmbeddings{e, {{teacher_x, teacher_y, at::full_like(scale, 50.0)}}});
  };
  double value = 0.0;
  const auto step = [&] {
    for (const auto& leaf : {x, y, scale, bias}) leaf.mutable_grad().reset();
    const auto loss = loss_of().total;
    loss.backward();
    value = loss.item<double>();
  };
  step();
  for (const auto& leaf : {x, y, scale, bias}) leaf.mutable_grad().reset();
  const double peak = peak_bytes(device, step);
  const double seconds = median_seconds(device, s.steps, step);

  // The rate of one plain large product of the same dtype is the upper bound.
  const std::int64_t side = device.is_cuda() ? 8192 : 2048;
  const auto factor_kind = device.is_cuda() ? products : torch::kFloat;
  const auto a =
      torch::randn({side, side}, torch::dtype(torch::kFloat).device(device)).to(factor_kind);
  auto out = torch::empty_like(a);
  const double product_seconds =
      median_seconds(device, std::max(3, s.steps), [&] { at::mm_out(out, a, a); });
  const auto cube = [](double length) { return 2.0 * length * length * length; };
  const double product_rate = cube(static_cast<double>(side)) / product_seconds / 1e12;

  const double pairs = static_cast<double>(n) * static_cast<double>(n);
  const double kept = s.keep_bytes / (pairs * (factor_kind == torch::kBFloat16 ? 2.0 : 4.0));
  double multiplications = s.loss == "sigmoid" ? 3.0 : 4.0 - std::min(1.0, kept);
  if (s.loss == "distill") multiplications += 6.0;  // Two of them are the teacher's.
  const double rate = multiplications * 2.0 * pairs * static_cast<double>(d) / seconds / 1e12;
  std::cout << nlohmann::json{{"benchmark", "contrastive_loss"},
                              {"loss", s.loss},
                              {"n", n},
                              {"d", d},
                              {"products", s.products},
                              {"device", s.device},
                              {"seconds", seconds},
                              {"peak_bytes", peak},
                              {"multiplications", multiplications},
                              {"teraflops", rate},
                              {"product_teraflops", product_rate},
                              {"fraction", rate / product_rate},
                              {"value", value},
                              {"version", std::string("contrapunto ") + std::string(cp::kVersion)}}
            << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Forward and backward of a tiled loss, timed"};
  app.add_option("--loss", s.loss)->check(CLI::IsMember({"info_nce", "sigmoid", "distill"}));
  app.add_option("--n", s.n);
  app.add_option("--d", s.d);
  app.add_option("--products", s.products)->check(CLI::IsMember({"fp32", "tf32", "bf16", "fp16"}));
  app.add_option("--device", s.device);
  app.add_option("--keep-bytes", s.keep_bytes);
  app.add_option("--rows", s.rows);
  app.add_option("--columns", s.columns);
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  CLI11_PARSE(app, argc, argv);

  at::set_num_threads(s.threads);
  cp::detail::set_tf32(s.products == "tf32");
  for (const auto n : s.n)
    for (const auto d : s.d) run(s, n, d);
}
