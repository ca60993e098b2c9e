// SPDX-License-Identifier: CC0-1.0
// train_clip on several GPUs or machines, a process each: one batch over all ranks, every pair a negative of all
// others. Lines that differ from train_clip.cpp are marked "NEW:".
//
//   scripts/launch -n 2 multi_rank --train-data 'cc3m-{0000..0575}.tar' --model ViT-B-32 --batch-size 512 --plan
//   torchrun --nnodes 4 --nproc-per-node 8 --no-python multi_rank ...      srun multi_rank ...      mpirun multi_rank
//   ...
//
// --batch-size is per rank; loss and gradients are those of one process with the batch of all ranks. A rank that dies,
// stops or differs is named by the others within a minute, and all end; go on with --resume latest. Everything else as
// in train_clip.
#include <torch/cuda.h>
#include <torch/utils.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <filesystem>
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
  std::int64_t batch_size = 256;    ///< NEW: pairs of each rank in one optimiser step.
  double epochs = 10;               ///< Passes over the training data.
  double lr = 5e-4;                 ///< Learning rate at the end of the warm-up.
  std::string warmup = "5%";        ///< "500 steps", "1 epochs", "100000 samples" or "5%" of the run.
  std::string schedule = "cosine";  ///< cosine, constant or cooldown.
  std::string cooldown = "20%";     ///< Length of the cooldown, in the units of the warm-up.
  double weight_decay = 0.2;
  double clip = 1.0;               ///< Global norm of the gradient; 0: no clipping.
  double ema = 0.0;                ///< Decay of the averaged weights that are evaluated; 0: none.
  std::string precision = "fp32";  ///< fp32, tf32, fp16, bf16 or pure_bf16.
  // Run
  std::string output = "runs/train_clip";
  std::string resume;  ///< A checkpoint folder, or "latest".
  std::string device;  ///< cuda or cpu; empty: cuda where there is one.
  std::uint64_t seed = 0;
  std::int64_t log_every = 10;      ///< Steps.
  std::int64_t save_every = 1'000;  ///< Steps; the end of the run is saved as well.
  std::int64_t stop_after = 0;      ///< Steps; ends early with the schedule unchanged; 0: never.
  bool plan = false, force = false;
  std::string command_line;  ///< NEW: all flags as given, to be compared over ranks.
};

void add_flags(CLI::App& app, Settings& s) {
  app.option_defaults()->always_capture_default();
  app.add_option("--train-data", s.train_data, "'a-{000..019}.tar', 'dir/*.tar', *.csv, *.tsv, a folder, 'synthetic'");
  app.add_option("--eval-data", s.eval_data, "labelled images for zero-shot accuracy, in the same forms");
  app.add_option("--class-names", s.class_names, "text file with a class name a line");
  app.add_option("--vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; without it, bytes are tokens");
  app.add_option("--templates", s.templates, "prompts of the evaluation, {} stands for the class");
  app.add_option("--caption-fields", s.caption_fields, "JSON fields or CSV columns with captions");
  app.add_option("--shift", s.shift, "pixels to shift by instead of cropping, for small images");
  app.add_flag("--flip", s.flip, "mirror every second training image");
  app.add_flag("--cache-decoded", s.cache_decoded, "keep decoded images in memory (small data sets)");
  app.add_option("--threads", s.threads, "decoding threads");
  app.add_option("--model", s.model, "a name such as RN50 or ViT-B-32, or an OpenCLIP model .json");
  app.add_option("--weights", s.weights, "OpenCLIP safetensors to start from");
  app.add_option("--loss", s.loss, "infonce or sigmoid")->check(CLI::IsMember({"infonce", "sigmoid"}));
  app.add_flag("--lock-image", s.lock_image, "freeze the image tower");
  app.add_option("--batch-size", s.batch_size, "pairs of each rank in one optimiser step");  // NEW:
  app.add_option("--epochs", s.epochs, "passes over the training data");
  app.add_option("--lr", s.lr, "learning rate at the end of the warm-up");
  app.add_option("--warmup", s.warmup, "'500 steps', '1 epochs', '100000 samples' or '5%'");
  app.add_option("--schedule", s.schedule)->check(CLI::IsMember({"cosine", "constant", "cooldown"}));
  app.add_option("--weight-decay", s.weight_decay);
  app.add_option("--ema", s.ema, "decay of the averaged weights that are evaluated and written; 0: none");
  app.add_option("--precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16");
  app.add_option("--output", s.output, "folder for log, curves and checkpoints");
  app.add_option("--resume", s.resume, "a checkpoint folder, or 'latest'");
  app.add_option("--device", s.device, "cuda or cpu; default: cuda where there is one");
  app.add_option("--seed", s.seed);
  app.add_option("--log-every", s.log_every, "steps")->check(CLI::PositiveNumber);
  app.add_option("--save-every", s.save_every, "steps")->check(CLI::PositiveNumber);
  app.add_option("--stop-after", s.stop_after, "end after this many steps with the schedule unchanged; 0: never");
  app.add_flag("--plan", s.plan, "print what the run would do, and train nothing");
  app.add_flag("--force", s.force, "train although the plan finds the run wasted");
}

std::function<double(std::int64_t)> make_schedule(const Settings& s, const cp::RunLength& run, std::int64_t warmup) {
  // A warm-up as long as the run is refused by the plan; forced, nothing of what would follow it is reached.
  if (s.schedule == "constant" || warmup >= run.total_steps)
    return cp::WarmupConstant({.peak_lr = s.lr, .warmup_steps = warmup});
  if (s.schedule == "cosine")
    return cp::WarmupCosine({.peak_lr = s.lr, .warmup_steps = warmup, .total_steps = run.total_steps});
  return cp::WarmupConstantCooldown({.peak_lr = s.lr,
                                     .warmup_steps = warmup,
                                     .cooldown_steps = cp::to_steps(cp::parse_duration(s.cooldown), run),
                                     .total_steps = run.total_steps});
}

// NEW: the ranks, and what names those that no longer answer, come from outside.
void train(const Settings& s, const torch::Device device, const cp::ProcessGroupCommunicator& ranks,
           cp::RankWatchdog& monitor) {
  const bool is_first = ranks.rank() == 0;               // NEW:
  if (!is_first) std::cout.setstate(std::ios::failbit);  // NEW: one rank is enough to say what all do.
  cp::check_same_on_all_ranks(ranks, "the configuration", s.command_line);  // NEW:

  // ---- Device and precision ----
  torch::manual_seed(s.seed);
  // NEW: the device comes from outside.
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);

  // ---- Model ----
  cp::ModelConfig config = s.model.ends_with(".json") ? cp::read_model_config(s.model) : cp::model_config(s.model);
  const cp::Tokenizer tokenizer =
      s.vocabulary.empty()
          ? cp::Tokenizer(cp::ByteTokenizer({.context_length = config.text.context_length}))
          : cp::Tokenizer(cp::BpeTokenizer(s.vocabulary, {.context_length = config.text.context_length}));
  config.text.vocab_size = tokenizer.vocab_size;
  if (s.loss == "sigmoid" && !config.initial_logit_bias) {
    config.initial_logit_scale = std::log(10.0);
    config.initial_logit_bias = -10.0;
  }
  cp::DualEncoder model = cp::make_dual_encoder(config);
  if (!s.weights.empty()) cp::load_open_clip_state(model, config, cp::read_safetensors(s.weights));
  if (s.lock_image) cp::lock_image_tower(model, /*unlocked_groups=*/0, /*freeze_batch_norm_statistics=*/true);
  model->to(device);
  cp::apply_precision_(*model, precision);
  cp::broadcast_tensors_(model->parameters(), ranks);  // NEW:
  cp::broadcast_tensors_(model->buffers(), ranks);
  const auto to_images = [&](const at::Tensor& bytes) {  // [B, 3, H, W], normalised on the device
    return cp::normalize_images(bytes, config.image_mean, config.image_std, torch::kFloat32,
                                torch::MemoryFormat::ChannelsLast);
  };

  // ---- Data ----
  const auto open = [&](const std::string& spec, std::uint64_t seed, std::int64_t samples) {
    cp::SourceOptions o{.caption_fields = s.caption_fields, .synthetic = {.samples = samples, .seed = seed}};
    if (!s.caption_fields.empty()) o.caption_columns = s.caption_fields;
    const auto source = cp::open_source(spec, o);
    for (const auto& line : source->report().first) std::cerr << "left out " << line << "\n";
    return source;
  };
  cp::LoaderOptions options{.batch_size = s.batch_size, .threads = s.threads, .seed = s.seed};
  options.pad_text_to = config.text.reads_padding() ? config.text.context_length : 0;
  options.cache_decoded = s.cache_decoded;
  options.pin_memory = device.is_cuda();
  options.rank = ranks.rank();  // NEW: each rank reads its share of every epoch.
  options.world_size = ranks.size();
  options.channels_last = true;
  options.on_skip = [](const cp::SkippedSample& skipped) { std::cerr << "skipped " << skipped.reason << "\n"; };
  cp::ImageTransformOptions pixels{.image_size = config.image_size(), .train = true, .crop_scale = {s.crop_area, 1.0}};
  pixels.shift_padding = s.shift;
  pixels.horizontal_flip = s.flip;
  pixels.resize_mode = config.image_resize_mode == "squash" ? cp::ResizeMode::kSquash : cp::ResizeMode::kShortest;
  cp::DataLoader loader(open(s.train_data, 0, 6'000), cp::ImageTransform(pixels), tokenizer.encode, options);
  std::unique_ptr<cp::DataLoader> eval_loader;
  std::vector<std::string> classes;
  if (const auto spec = s.eval_data.empty() && s.train_data == "synthetic" ? "synthetic" : s.eval_data; !spec.empty()) {
    options.train = pixels.train = false;
    eval_loader = std::make_unique<cp::DataLoader>(open(spec, 1, 1'500), cp::ImageTransform(pixels), nullptr, options);
    classes = s.class_names.empty() ? eval_loader->source().class_names() : cp::read_lines(s.class_names);
    TORCH_CHECK(!classes.empty(), "'", spec, "' does not name its classes; pass a file with --class-names");
    for (const auto& t : s.templates) static_cast<void>(cp::fill_prompt(t, classes[0]));  // raises early
  }

  // ---- Length of the run, schedule, loss, optimiser ----
  cp::check_same_on_all_ranks(ranks, "the number of batches in an epoch", loader.batches_per_epoch());  // NEW:
  const std::int64_t global_batch = s.batch_size * ranks.size();                                        // NEW:
  cp::RunLength run{.dataset_samples = loader.source().size(), .batch_size = global_batch};             // NEW:
  run.total_steps = cp::to_steps({s.epochs, cp::DurationUnit::kEpochs}, run);
  const auto warmup_steps = cp::to_steps(cp::parse_duration(s.warmup), run);
  const auto schedule = make_schedule(s, run, warmup_steps);
  const cp::TileOptions tiles{.matmul_dtype = precision.product_dtype()};
  const auto loss = [&](const cp::Embeddings& e) {
    using Ranks = cp::ProcessGroupCommunicator;  // NEW: over the batch of all ranks
    return s.loss == "sigmoid" ? cp::TiledSigmoidLoss({tiles}, ranks)(e)
                               : cp::TiledInfoNce({tiles}, ranks)(e);
  };
  const bool is_vit = std::holds_alternative<cp::VisionTransformerOptions>(config.image);
  cp::AdamW optimizer(cp::decay_groups(*model, s.weight_decay), cp::family_adamw_options(is_vit ? "ViT" : "RN"));
  cp::LossScaler scaler(precision, device);
  std::optional<cp::Ema> ema;
  if (s.ema > 0.0) ema.emplace(*model, s.ema);
  const auto parameters = optimizer.parameters();

  // ---- Step: batch in, gradients out ----
  const cp::PairStepOptions inputs{.prepare_x = to_images, .trim_y = !config.text.reads_padding()};
  cp::GradientSync sync(model->parameters(), ranks);  // NEW: sums, while backward runs.
  const cp::StepContext context{
      .precision = precision, .device = device, .scaler = &scaler, .sync = sync.handle()};  // NEW:
  cp::FullBatch compute_gradients(cp::pair_step_model(model, device, inputs), loss, context);

  // ---- Plan: what will happen, before anything does ----
  const cp::ParameterBytes bytes = cp::parameter_bytes(precision);
  const cp::ForwardGflops gflops = cp::forward_gflops(config);
  cp::RunPlan plan;
  plan.model = config.name;
  plan.image_parameters = cp::parameter_count(*model->visual());
  plan.text_parameters = cp::parameter_count(*model->text());
  plan.forward_gflops = gflops.image + gflops.text;
  plan.text_context = config.text.context_length;
  plan.dataset_samples = run.dataset_samples;
  plan.batch_size = global_batch;  // NEW:
  plan.samples_in_flight = s.batch_size;
  plan.total_steps = run.total_steps;
  plan.schedule = s.schedule;
  plan.peak_lr = s.lr;
  plan.warmup_steps = warmup_steps;
  plan.beta2 = optimizer.options().beta2;
  plan.precision = precision.name;
  plan.weight_bytes = bytes.weights;
  plan.gradient_bytes = bytes.gradients;
  plan.optimizer_bytes = bytes.optimizer + (ema ? 4.0 : 0.0);
  plan.activation_bytes_per_sample = cp::activation_bytes(config, bytes.activations);
  plan.free_memory_bytes = cp::free_memory_bytes(device);
  plan.weights = s.weights;
  plan.quick_gelu = config.text.activation == cp::Activation::kQuickGelu;
  const bool may_start = cp::announce_plan(plan, std::cout, s.force);
  if (s.plan) std::cout << cp::learning_rate_curve(schedule, run.total_steps) << "\n";
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  if (s.plan) return;

  // ---- Resume ----
  std::int64_t step = 0, epoch = 0, batch_in_epoch = 0;
  const cp::CheckpointFolder checkpoints(s.output);
  if (!s.resume.empty()) {
    const auto from = checkpoints.find(s.resume);
    const auto parts = cp::load_checkpoint(from);
    cp::load_module_state(*model, cp::checkpoint_part(parts, "model"));
    optimizer.load_state(cp::checkpoint_part(parts, "optimizer"));
    scaler.load_state(cp::checkpoint_part(parts, "scaler"));
    if (ema) ema->load_state(cp::checkpoint_part(parts, "ema"));
    cp::restore_rng_state(cp::checkpoint_part(parts, "random"));
    const cp::State& progress = cp::checkpoint_part(parts, "progress");
    step = progress.scalar<std::int64_t>("step");
    epoch = progress.scalar<std::int64_t>("epoch");
    batch_in_epoch = progress.scalar<std::int64_t>("batch");
    if (is_first) checkpoints.discard_after(step);  // NEW:
    std::cout << "resumed from " << from.string() << "\n";
  }

  // ---- Logs ----
  const fs::path output = s.output;
  fs::create_directories(output);
  const std::string log_name = is_first ? "log.jsonl" : "log-rank" + std::to_string(ranks.rank()) + ".jsonl";  // NEW:
  cp::JsonLinesWriter log(output / log_name, step > 0 ? std::optional(step) : std::nullopt);
  cp::ProgressLine progress(std::cout, {run.total_steps, s.log_every, /*in_place=*/::isatty(STDOUT_FILENO) == 1});
  cp::ThroughputMeter meter;

  const auto save = [&](std::optional<double> metric) {
    if (!is_first) return;  // NEW: all ranks hold the same.
    const auto pause = meter.pause();
    std::map<std::string, cp::State> parts{{"model", cp::module_state(*model)},
                                           {"optimizer", optimizer.save_state()},
                                           {"scaler", scaler.save_state()},
                                           {"random", cp::rng_state()}};
    parts["progress"].scalars = {{"step", step}, {"epoch", epoch}, {"batch", batch_in_epoch}};
    if (ema) parts["ema"] = ema->save_state();
    checkpoints.save(step, std::move(parts), metric);
  };

  const auto evaluate = [&]() -> std::optional<double> {
    if (!eval_loader) return std::nullopt;
    const auto pause = meter.pause();
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    std::optional<cp::EmaScope> averaged;
    if (ema) averaged.emplace(*ema);
    model->eval();
    const auto encode_text = [&](const at::Tensor& tokens) { return model->encode_text(tokens.to(device)); };
    const auto classifier = cp::zero_shot_classifier(encode_text, tokenizer.encode_all, classes, s.templates);
    cp::ZeroShotAccuracy accuracy;
    eval_loader->start_epoch(0);
    while (const auto batch = eval_loader->next()) {
      accuracy.add(model->encode_image(to_images(batch->at("image").to(device))), batch->at("label"), classifier);
    }
    model->train();
    const auto result = accuracy.result(ranks);  // NEW: each rank saw its share of the images.
    progress.note("zero-shot after step " + std::to_string(step) + ": " + cp::to_string(result));
    log.write(step, {{"zero_shot_top1", result.top1}, {"zero_shot_top5", result.top5}});
    return result.top1;
  };

  // ---- The loop ----
  const auto last_step = s.stop_after > 0 ? std::min(s.stop_after, run.total_steps) : run.total_steps;
  model->train();
  loader.start_epoch(epoch, batch_in_epoch);
  std::optional<double> metric;  // of the last evaluation, for the checkpoint that follows it
  while (step < last_step) {
    const auto batch = [&] {
      const auto waiting = meter.wait_for_data();
      return loader.next();
    }();
    if (!batch) {
      metric = evaluate();
      loader.start_epoch(++epoch, batch_in_epoch = 0);
      continue;
    }
    monitor.progress(step);  // NEW:
    torch::manual_seed(
        s.seed + 1'000'003 * static_cast<std::uint64_t>(step * ranks.size() +
                                                        ranks.rank()));  // NEW: so ranks differ, and resume alike.
    optimizer.zero_grad();
    const cp::LossTerms terms = compute_gradients(*batch);
    const auto found_inf = scaler.unscale_(parameters);
    const auto norm = cp::clip_grad_norm_(parameters, s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity());
    const double lr = schedule(step);
    optimizer.step(lr, {.found_inf = found_inf});
    scaler.update();
    model->clamp_logit_scale_();
    if (ema) ema->update();
    ++step;
    ++batch_in_epoch;
    meter.add(global_batch);  // NEW:

    if (step % s.log_every == 0 || step % s.save_every == 0 || step == last_step) {  // only here the host waits
      const auto window = meter.next_window();
      const cp::StepState state{.step = step,
                                .samples = step * global_batch,  // NEW:
                                .epoch = static_cast<double>(step) / static_cast<double>(run.steps_per_epoch()),
                                .loss = terms.total.item<double>(),
                                .lr = lr,
                                .scale = model->scale().item<double>(),
                                .gradient_norm = norm.item<double>(),
                                .samples_per_second = window.samples_per_second,
                                .data_wait_fraction = window.data_wait_fraction};
      progress.on_step(state);
      log.write(state);
      TORCH_CHECK(std::isfinite(state.loss) || scaler.enabled(), "the loss is ", state.loss, " at step ", step,
                  "; lower --lr, lengthen --warmup or use --precision fp32, and go on with --resume latest");
    }
    if (step % s.save_every == 0 && step != last_step) save(std::exchange(metric, std::nullopt));
  }
  save(evaluate());
  progress.finish();

  if (!is_first) return;  // NEW:
  // ---- Results ----
  std::optional<cp::EmaScope> averaged;
  if (ema) averaged.emplace(*ema);
  cp::write_safetensors(output / "open_clip_model.safetensors", cp::open_clip_state(model, config));
  try {
    cp::write_curves(output / "log.jsonl", output / "curves.png", {.title = config.name});
  } catch (const std::exception& error) {
    std::cerr << "no picture of the curves: " << cp::error_text(error) << "\n";
  }
  if (const auto skipped = loader.statistics().skipped; skipped > 0) std::cout << skipped << " samples were skipped\n";
  std::cout << "wrote open_clip_model.safetensors, log, curves and checkpoints into " << s.output << "\n";
}

// NEW: who this rank is and how it reaches the others.
void train_as_rank(const Settings& s) {
  const cp::LaunchEnvironment launch = cp::read_launch_environment(::getenv);
  const std::string kind = !s.device.empty() ? s.device : torch::cuda::is_available() ? "cuda" : "cpu";
  const torch::Device device(kind == "cuda" ? kind + ":" + std::to_string(launch.local_rank) : kind);
  const auto store = cp::open_tcp_store(launch, std::chrono::minutes(1));
  const auto ranks = cp::connect_ranks(store, launch, device, {.timeout = std::chrono::minutes(5)});
  cp::RankWatchdog monitor(store, ranks.rank(), ranks.size(), [](const std::string& why) {
    std::cerr << why << std::endl;
    std::_Exit(1);  // a collective that never returns cannot be left otherwise
  });
  try {
    train(s, device, ranks, monitor);
  } catch (const std::exception& error) {
    if (cp::is_rank_failure(error)) static_cast<void>(monitor.wait_for_failure());
    throw;
  }
  monitor.sign_off();
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"Trains a CLIP model on image-text pairs and measures its zero-shot accuracy."};
  add_flags(app, s);
  CLI11_PARSE(app, argc, argv);
  try {
    s.command_line = app.config_to_str(/*default_also=*/true);  // NEW:
    train_as_rank(s);
  } catch (const std::exception& error) {
    std::cerr << fs::path(argv[0]).filename().string() << ": " << cp::error_text(error) << "\n";
    return 1;
  }
}
