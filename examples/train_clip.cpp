// SPDX-License-Identifier: CC0-1.0
// Trains a CLIP model on image-text pairs: from shards, a list, class folders or built-in shapes to zero-shot accuracy.
//
//   train_clip --train-data 'cc3m-{0000..0575}.tar' --model RN50 --batch-size 1024 --lr 1e-3 --epochs 30
//   train_clip --train-data 'train-*.tar' --eval-data 'test-*.tar' --class-names classes.txt --plan
//
// Expect a plan before step 0 (a run that would be wasted is refused), then a progress line. --output receives
// log.jsonl, curves.png, step-*/ checkpoints and open_clip_model.safetensors, which OpenCLIP loads. A stopped run goes
// on with --resume latest, bit-equal on CPU. On CIFAR-10 see docs/cifar10.md for a command and its curve.
#include <torch/torch.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace cp = contrapunto;
namespace fs = std::filesystem;

namespace {

/// The recipe: every value of the run, with its unit. What changes from run to run is also a flag.
struct Settings {
  // Data
  std::string train_data = "synthetic";  ///< Shards, *.csv, *.tsv, class folders or "synthetic".
  std::string eval_data;                 ///< Labelled images for zero-shot; empty: no evaluation.
  std::string class_names;               ///< Text file, a name a line; empty: as eval_data says.
  std::string vocabulary;                ///< CLIP's vocabulary; empty: bytes are the tokens.
  std::vector<std::string> templates = {"a photo of a {}."};
  std::vector<std::string> caption_fields;  ///< Of .json members or columns; empty: the default.
  double crop_area = 0.9;                   ///< Smallest share of the image a random crop keeps.
  std::int64_t shift = 0;                   ///< Pixels; above 0: shift instead of crop (small images).
  bool flip = false;                        ///< Mirror every second image.
  bool cache_decoded = false;               ///< Keep decoded images in memory (small data sets).
  std::int64_t threads = 2;                 ///< Decoding threads.
  // Model
  std::string model = "ViT-B-32";  ///< A name, or a .json file in OpenCLIP's format.
  std::string weights;             ///< OpenCLIP safetensors to start from; empty: fresh.
  std::string loss = "infonce";    ///< Or "sigmoid".
  bool lock_image = false;         ///< Freeze the image tower (LiT).
  // Optimisation
  std::int64_t batch_size = 256;  ///< Pairs in one optimiser step.
  double epochs = 10;             ///< Passes over the training data.
  double lr = 5e-4;               ///< Learning rate at the end of the warm-up.
  std::string warmup = "5%";      ///< "500 steps", "1 epochs", "100000 samples" or "5%" of the run.
  std::string schedule = "cosine";  ///< cosine, constant or cooldown.
  std::string cooldown = "20%";     ///< Length of the cooldown, in the units of the warm-up.
  double weight_decay = 0.2;
  double clip = 1.0;          ///< Global norm of the gradient; 0: no clipping.
  double ema = 0.0;           ///< Decay of the averaged weights that are evaluated; 0: none.
  std::string precision = "fp32";  ///< fp32, tf32, fp16, bf16 or pure_bf16.
  // Run
  std::string output = "runs/train_clip";
  std::string resume;               ///< A checkpoint folder, or "latest".
  std::string device;               ///< cuda or cpu; empty: cuda where there is one.
  std::uint64_t seed = 0;
  std::int64_t log_every = 10;      ///< Steps.
  std::int64_t save_every = 1'000;  ///< Steps; the end of the run is saved as well.
  std::int64_t stop_after = 0;      ///< Steps; ends early with the schedule unchanged; 0: never.
  bool plan = false;
  bool force = false;
};

Settings read_settings(int argc, char** argv) {
  Settings s;
  CLI::App app{"Trains a CLIP model on image-text pairs and measures its zero-shot accuracy."};
  app.option_defaults()->always_capture_default();
  app.add_option("--train-data", s.train_data, "tar shards ('a-{000..019}.tar', 'dir/*.tar'), *.csv, *.tsv, "
                 "a directory of class folders, or 'synthetic'")->group("Data");
  app.add_option("--eval-data", s.eval_data, "labelled images for zero-shot accuracy, the same forms")->group("Data");
  app.add_option("--class-names", s.class_names, "text file with a class name a line")->group("Data");
  app.add_option("--vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; without it bytes are the tokens")
      ->group("Data");
  app.add_option("--caption-fields", s.caption_fields, "JSON fields or columns with captions")->group("Data");
  app.add_option("--crop-area", s.crop_area, "smallest share of the image that a random crop keeps")->group("Data");
  app.add_option("--shift", s.shift, "pixels to shift by instead of cropping, for small images")->group("Data");
  app.add_flag("--flip", s.flip, "mirror every second training image")->group("Data");
  app.add_flag("--cache-decoded", s.cache_decoded, "keep decoded images in memory (small data sets)")->group("Data");
  app.add_option("--threads", s.threads, "decoding threads")->group("Data");
  app.add_option("--model", s.model, "a name such as RN50 or ViT-B-32, or an OpenCLIP model .json")->group("Model");
  app.add_option("--weights", s.weights, "OpenCLIP safetensors to start from")->group("Model");
  app.add_option("--loss", s.loss, "infonce or sigmoid")->check(CLI::IsMember({"infonce", "sigmoid"}))->group("Model");
  app.add_flag("--lock-image", s.lock_image, "freeze the image tower")->group("Model");
  app.add_option("--batch-size", s.batch_size, "pairs in one optimiser step")->group("Optimisation");
  app.add_option("--epochs", s.epochs, "passes over the training data")->group("Optimisation");
  app.add_option("--lr", s.lr, "learning rate at the end of the warm-up")->group("Optimisation");
  app.add_option("--warmup", s.warmup, "'500 steps', '1 epochs', '100000 samples' or '5%'")->group("Optimisation");
  app.add_option("--schedule", s.schedule, "after the warm-up")
      ->check(CLI::IsMember({"cosine", "constant", "cooldown"}))->group("Optimisation");
  app.add_option("--weight-decay", s.weight_decay)->group("Optimisation");
  app.add_option("--clip", s.clip, "global gradient norm; 0: no clipping")->group("Optimisation");
  app.add_option("--ema", s.ema, "decay of the averaged weights; 0: none")->group("Optimisation");
  app.add_option("--precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")->group("Optimisation");
  app.add_option("--output", s.output, "folder for log, curves and checkpoints")->group("Run");
  app.add_option("--resume", s.resume, "a checkpoint folder, or 'latest'")->group("Run");
  app.add_option("--device", s.device, "cuda or cpu; default: cuda where there is one")->group("Run");
  app.add_option("--seed", s.seed)->group("Run");
  app.add_option("--log-every", s.log_every, "steps")->group("Run");
  app.add_option("--save-every", s.save_every, "steps")->group("Run");
  app.add_option("--stop-after", s.stop_after, "end after this many steps, schedule unchanged; 0: never")->group("Run");
  app.add_flag("--plan", s.plan, "print what the run would do, and train nothing")->group("Run");
  app.add_flag("--force", s.force, "train although the plan finds it wasted")->group("Run");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return s;
}

/// Zero-shot accuracy of the model as it is, over all of `loader`.
cp::ZeroShotResult evaluate(cp::DualEncoder& model, cp::DataLoader& loader, const Settings& s,
                            const std::vector<std::string>& classes, const cp::ModelConfig& config,
                            const std::function<at::Tensor(const std::vector<std::string>&)>& tokenize,
                            const cp::PrecisionPolicy& precision, torch::Device device) {
  const torch::NoGradGuard no_grad;
  const cp::AutocastGuard autocast(precision, device);
  model->eval();
  const auto classifier = cp::zero_shot_classifier(
      [&](const at::Tensor& tokens) { return model->encode_text(tokens.to(device)); }, tokenize, classes, s.templates);
  cp::ZeroShotAccuracy accuracy(classifier);
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    const auto pixels = batch->at("image").to(device, /*non_blocking=*/true);
    accuracy.add(model->encode_image(cp::normalize_images(pixels, config.image_mean, config.image_std)),
                 batch->at("label").to(device));
  }
  model->train();
  return accuracy.result();
}

std::vector<std::string> read_lines(const std::string& path) {
  std::istringstream text(cp::read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) lines.push_back(line);
  return lines;
}

void run(const Settings& s) {
  // ---- Device -------------------------------------------------------------------------------------------------------
  torch::manual_seed(s.seed);
  const torch::Device device(!s.device.empty() ? s.device : torch::cuda::is_available() ? "cuda" : "cpu");
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);

  // ---- Model --------------------------------------------------------------------------------------------------------
  cp::ModelConfig config = fs::path(s.model).extension() == ".json" ? cp::read_model_config(s.model)
                                                                    : cp::model_config(s.model);
  if (s.vocabulary.empty()) config.text.vocab_size = cp::ByteTokenizer().vocab_size();
  if (s.loss == "sigmoid" && !config.initial_logit_bias) {
    config.initial_logit_scale = std::log(10.0);
    config.initial_logit_bias = -10.0;
  }
  cp::DualEncoder model = cp::make_dual_encoder(config);
  if (!s.weights.empty()) cp::load_open_clip_state(model, config, cp::read_safetensors(s.weights));
  if (s.lock_image) cp::lock_image_tower(model, /*unlocked_groups=*/0, /*freeze_batch_norm_statistics=*/true);
  model->to(device);
  cp::prepare(*model, precision);
  model->train();

  // ---- Data ---------------------------------------------------------------------------------------------------------
  const auto context = config.text.context_length;
  std::function<std::vector<std::int64_t>(std::string_view)> tokenize;
  if (s.vocabulary.empty()) {
    tokenize = [t = cp::ByteTokenizer({.context_length = context})](auto text) { return t.encode_with_specials(text); };
  } else {
    tokenize = [t = cp::BpeTokenizer(s.vocabulary, {.context_length = context})](auto text) {
      return t.encode_with_specials(text);
    };
  }
  cp::SourceOptions source_options{.caption_fields = s.caption_fields};
  if (!s.caption_fields.empty()) source_options.caption_columns = s.caption_fields;
  const auto source = cp::open_source(s.train_data, source_options);
  cp::LoaderOptions loader_options{.batch_size = s.batch_size, .threads = s.threads, .seed = s.seed,
                                   .pad_text_to = config.text.reads_padding() ? context : 0,
                                   .cache_decoded = s.cache_decoded, .pin_memory = device.is_cuda()};
  loader_options.on_skip = [](const cp::SkippedSample& skipped) { std::cerr << "skipped " << to_string(skipped) << "\n"; };
  cp::DataLoader loader(source, cp::ImageTransform({.image_size = config.image_size(), .train = true,
                        .crop_scale = {s.crop_area, 1.0}, .shift_padding = s.shift, .horizontal_flip = s.flip}),
                        tokenize, loader_options);
}

}  // namespace

int main(int argc, char** argv) {
  const Settings s = read_settings(argc, argv);
  try {
    run(s);
  } catch (const c10::Error& error) {
    std::cerr << "train_clip: " << error.what_without_backtrace() << "\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "train_clip: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
