// SPDX-License-Identifier: CC0-1.0
// Trains a CLIP model on image-text pairs: from shards, a CSV list, a folder or built-in shapes, to zero-shot accuracy.
//
//   train_clip --train-data 'cc3m-train-{0000..0575}.tar' --model RN50 --batch-size 1024 --lr 1e-3 --epochs 30
//   train_clip --train-data 'train-*.tar' --eval-data 'test-*.tar' --class-names classes.txt --plan
//
// Writes into --output: log.jsonl (a line per logged step), curves.png, checkpoint-STEP/ folders, and at the end
// open_clip_model.safetensors, which OpenCLIP loads. A stopped run goes on with --resume latest.
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <unistd.h>

namespace cp = contrapunto;

namespace {

/// The recipe. What changes per run is also a flag; the rest is edited here.
struct Settings {
  // Data
  std::string train_data = "synthetic";  ///< Shards, *.csv, *.tsv, class folders, or "synthetic".
  std::string eval_data;                 ///< Labelled images for zero-shot accuracy; empty: none.
  std::string class_names;               ///< Text file, one name a line; default: what eval_data says.
  std::string vocabulary;                ///< bpe_simple_vocab_16e6.txt[.gz]; needed unless synthetic bytes.
  std::vector<std::string> templates = {"a photo of a {}."};
  std::int64_t synthetic_samples = 20'000;
  std::vector<double> crop_scale = {0.9, 1.0};  ///< Area of the random crop, share of the image.
  bool horizontal_flip = false;
  int shift_padding = 0;                        ///< Pixels; > 0 replaces the random crop (small images).
  bool cache_decoded = false;                   ///< Keep decoded images in memory (small data sets).
  int threads = 2;                              ///< Decoding threads.
  // Model
  std::string model = "ViT-B-32";  ///< A named configuration, or a file with an OpenCLIP model config.
  std::string weights;             ///< OpenCLIP safetensors to start from; empty: fresh weights.
  std::string loss = "infonce";    ///< infonce or sigmoid.
  // Optimisation
  std::int64_t batch_size = 256;  ///< Pairs per optimiser step.
  std::int64_t epochs = 10;
  double lr = 5e-4;               ///< Peak learning rate.
  std::string warmup = "5%";      ///< 500, 500 steps, 1 epochs, 100000 samples or 5%.
  std::string schedule = "cosine";
  double weight_decay = 0.2;
  double clip = 1.0;              ///< Global gradient norm; 0: no clipping.
  double ema_decay = 0.0;         ///< Moving average of the weights, used for evaluation; 0: none.
  std::string precision = "fp32";
  // Run
  std::string output = "runs/train_clip";
  std::string resume;             ///< A checkpoint folder, or "latest".
  std::string device;             ///< cuda or cpu; empty: cuda where there is one.
  std::int64_t seed = 0;
  std::int64_t log_every = 10;      ///< Steps.
  std::int64_t save_every = 1'000;  ///< Steps; the last step is always saved.
  std::int64_t eval_every = 0;      ///< Steps; 0: once an epoch.
  std::int64_t max_steps = 0;       ///< Stop early, for trying things out; the schedule stays; 0: no.
  bool plan = false;
  bool force = false;
};

}  // namespace

int main() { return 0; }
