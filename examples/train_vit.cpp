// SPDX-License-Identifier: CC0-1.0
// Trains a vision transformer, or any image tower, to classify images: from scratch, by fine-tuning
// weights, or only the head (a linear probe). It runs as one process or as any number of ranks.
//
//   train_vit --model examples/models/cifar-vit.json                       # built-in shapes
//   train_vit --config examples/recipes/vit_s16_imagenet.toml --train-data imagenet/train ...
//   scripts/launch -n 2 train_vit --config ...                  # or torchrun, srun, mpirun
//
// The gradient is that of a batch of all ranks, whatever --micro-batch and the number of ranks are.
// A plan is printed before step 0. The output folder receives config.json, log.jsonl, classes.csv,
// curves.png, step-*/ checkpoints and classifier.safetensors; --resume continues a run.
//
// What to expect: with cifar-vit.json, --epochs 5, --batch-size 128, --crop-area 0.5 and --beta2
// 0.98, 68 % of the built-in test images find their class of 30. The recipes have comments on this.
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
/// RunSettings: output, resume. DataSettings: train_data. AugmentationSettings: crop_area, flip.
/// MixingSettings: mixup, cutmix. ImageTowerSettings: image_size, drop_path. ScheduleSettings:
/// epochs, lr, warmup, phases. OptimizerSettings: optimizer, beta2, weight_decay.
struct Settings : cp::RunSettings,
                  cp::DataSettings,
                  cp::AugmentationSettings,
                  cp::MixingSettings,
                  cp::ImageTowerSettings,
                  cp::ScheduleSettings,
                  cp::OptimizerSettings {
  Settings() { output = "runs/train_vit", crop_area = 0.08, flip = true, lr = 1e-3; }
  // Data
  std::string class_names;
  // Model
  std::string model = "ViT-S-16", weights, head_init = "zero", loss = "softmax";
  bool weights_head = false, freeze = false, checkpoint_activations = false, bce_sum = false;
  double head_bias = 0.0, label_smoothing = 0.0, bce_threshold = 0.0, eval_crop = 1.0;
  // Optimization
  std::int64_t batch_size = 256, repeats = 1;
  std::string micro_batch = "none", precision = "fp32";
  double layer_decay = 1.0, clip = 1.0, ema = 0.0;
  std::uint64_t seed = 0;
  // Run
  std::int64_t eval_every = 1, pretend_samples = 0;
};

/// Describes every setting once. The command line, --config FILE.toml, config.json and the
/// comparisons between ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  cp::add_data_settings(t, s);
  cp::add_order_settings(t, s);
  t.add("class-names", s.class_names, "file with a name on each line; empty: as train-data says");
  cp::add_training_augmentation_settings(t, s);
  cp::add_mixing_settings(t, s);
  t.add("repeats", s.repeats, "views of each image in a batch (repeated augmentation)")
      .check(cp::at_least(1));
  t.add("eval-crop", s.eval_crop, "part of the shorter side that an evaluation keeps");
  t.section("Model");
  t.add("model", s.model, "its image tower is used: a name such as ViT-S-16, a .json, or weights");
  cp::add_image_tower_settings(t, s);
  t.add("weights", s.weights, "of CLIP, a tower or a classifier to start from; empty: none");
  t.add("weights-head", s.weights_head, "start from the head of the weights too");
  t.add("freeze", s.freeze, "train only the head");
  t.add("head-init", s.head_init, "weights of the head").one_of({"zero", "normal"});
  t.add("head-bias", s.head_bias, "its biases at the start, such as -6.9 for bce");
  t.add("loss", s.loss, "over the classes").one_of({"softmax", "bce"});
  t.add("label-smoothing", s.label_smoothing, "part of a target that is spread over all classes");
  t.add("bce-threshold", s.bce_threshold, "targets above it become 1, others 0; 0: none")
      .check(cp::in_range(0, 1));
  t.add("bce-sum", s.bce_sum, "sum bce over the classes instead of its mean");
  t.add("checkpoint-activations", s.checkpoint_activations, "recompute the blocks in backward");
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "images in one optimizer step, over all ranks");
  t.add("micro-batch", s.micro_batch, "images in memory at once per rank, 'auto' or 'none'")
      .readable_by(cp::parse_chunk_size);
  cp::add_schedule_settings(t, s);
  cp::add_phase_settings(t, s);
  cp::add_optimizer_settings(t, s);
  t.add("layer-decay", s.layer_decay, "factor of the rate per layer towards the input; 1: none")
      .check(cp::above(0))
      .check(cp::in_range(0, 1));
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("ema", s.ema, "decay of the averaged weights, which are evaluated and exported; 0: none");
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "seed of weights, data order, crops, mixing and dropout");
  t.section("Run");
  t.add("eval-every", s.eval_every, "epochs per evaluation").check(cp::at_least(1)).may_change();
  t.add("pretend-samples", s.pretend_samples, "with plan: size of train-data").may_change();
  cp::add_run_settings(t, s);
  return t;
}

/// A linear layer whose weights stay in float32 in every precision.
struct Head : cp::LinearImpl, cp::KeepsFloat32 {
  using cp::LinearImpl::LinearImpl;
};

void train(const Settings& s, const cp::SettingsTable& settings, const cp::Ranks& ranks) {
  // ==== Ranks, device, precision ===============================================================
  cp::check_same_on_all_ranks(ranks, "the settings", cp::setting_values(settings));
  const torch::Device device = ranks.device();
  const cp::DeviceFacts free{cp::free_memory_bytes(device)};  // before the model takes its part
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  std::ostream silent(nullptr);
  std::ostream& out = ranks.is_first() ? std::cout : silent;
  torch::manual_seed(s.seed);

  // ==== Data ===================================================================================
  auto config = cp::with_image_tower_settings(cp::find_model_config(s.model), s);
  config.image_only = true;
  const auto open = [&](const std::string& spec, std::int64_t n, std::uint64_t seed) {
    return cp::open_data(s, spec, out, {.samples = n, .seed = seed});
  };
  cp::ImageTransformOptions pixels = cp::training_transform(config, s);
  pixels.center_crop = s.eval_crop;
  const auto images = cp::with_image_cache(
      open(s.train_data, s.pretend_samples > 0 ? s.pretend_samples : 6'000, 0), s, out);
  // Missing labels and other faults of the data are found now and not in the middle of the run.
  const cp::LabeledClasses classes = cp::labeled_classes(
      *images, s.class_names.empty() ? std::vector<std::string>() : cp::read_lines(s.class_names));
  for (const auto& note : classes.notes()) out << note << "\n";
  cp::LoaderOptions loading =
      cp::with_data_settings({.batch_size = cp::samples_per_rank(s.batch_size, ranks),
                              .seed = s.seed,
                              .ranks = ranks,
                              .augment_device = cp::augment_device(s, device),
                              .pin_memory = device.is_cuda(),
                              .channels_last = true},
                             s, *images);
  loading = cp::with_repeats(loading, s.repeats, *images);
  cp::SkippedSampleFile skipped(std::cerr);
  loading.on_skip = skipped;
  cp::DataLoader loader(images, cp::ImageTransform(pixels), nullptr, loading);
  cp::check_same_on_all_ranks(ranks, "the number of batches in an epoch",
                              loader.batches_per_epoch());
  for (const auto& line : loader.describe_epoch()) out << line << "\n";
  std::optional<cp::DataLoader> eval_loader;
  if (const bool built_in = s.train_data == "synthetic"; built_in || !s.eval_data.empty()) {
    eval_loader.emplace(open(s.eval_data.empty() ? s.train_data : s.eval_data, 1'500, 1),
                        cp::ImageTransform(pixels.for_evaluation()), nullptr,
                        loading.for_evaluation());
    cp::check_evaluation_classes(eval_loader->source(), *images, classes);
  }
  const cp::Mixup mix = cp::mixup_of(s);

  // ==== Model ==================================================================================
  const cp::AnyTower tower = cp::make_image_tower(config);
  cp::LinearOptions linear{.in_features = config.embed_dim, .out_features = classes.size()};
  linear.weight_std = s.head_init == "zero" ? 0.0 : 0.02;
  const auto head = std::make_shared<Head>(linear);
  head->bias.detach().fill_(s.head_bias);
  const auto model = std::make_shared<torch::nn::Module>("classifier");
  model->register_module("tower", tower.ptr());
  model->register_module("head", head);
  if (!s.weights.empty())
    cp::load_image_weights(tower, s.weights_head ? head.get() : nullptr,
                           cp::read_weights(s.weights), config.name);
  if (s.freeze)
    for (auto& parameter : tower->parameters()) parameter.set_requires_grad(false);
  if (s.checkpoint_activations) tower.checkpoint_activations(true);
  model->to(device);
  cp::apply_precision_(*model, precision);
  cp::synchronize_batch_norm(*model, ranks);
  cp::broadcast_module_(*model, ranks);
  const auto to_images = cp::image_normalizer(config);
  const auto set_training = [&](bool on) {
    model->train(on);
    tower->train(on && !s.freeze);  // A frozen tower drops nothing and keeps its statistics.
  };

  // ==== Loss ===================================================================================
  const cp::ClassLoss loss({.kind = s.loss,
                            .label_smoothing = s.label_smoothing,
                            .threshold = s.bce_threshold,
                            .sum_classes = s.bce_sum});

  // ==== Optimizer, schedule, averages ==========================================================
  const auto rows =
      s.plan && s.pretend_samples > 0 ? s.pretend_samples : loader.samples_per_epoch() * s.repeats;
  const auto run = cp::run_length(s, rows, s.batch_size, cp::phase_of(config));
  const auto schedule = cp::make_schedule(s, run);
  const auto groups = cp::layer_decay(cp::decay_groups(*model, s.weight_decay),
                                      tower.lock_groups().value(), s.layer_decay, "tower.");
  auto optimizer = cp::make_optimizer(s, groups, ranks, {.beta2 = 0.999}, s.batch_size);
  const auto parameters = optimizer.parameters();
  const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
  cp::LossScaler scaler(precision, device);
  cp::Ema ema(*model, s.ema);

  // ==== Step: batch in, gradients out ==========================================================
  const auto encode = [&](const at::Tensor& bytes) -> cp::Features {
    return tower(to_images(bytes.to(device)));
  };
  const auto logits = [&](const std::vector<cp::Features>& features, const cp::Batch&) {
    return head->forward(features[0].tensors.front());  // In float32.
  };
  const cp::StepModel step_model{std::vector<cp::Encoder>{{"image", encode}}, logits,
                                 model->parameters(), model->buffers()};
  cp::Accumulator compute_gradients(
      step_model, loss, {.micro_batch = cp::parse_chunk_size(s.micro_batch)},
      {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});

  cp::PhaseWatch phase_at(run, [&](const cp::RunPhase& phase) {  // Other sizes from this step on.
    loader.change(cp::ImageTransform(pixels.with_size(phase.image_size)), nullptr,
                  cp::samples_per_rank(phase.batch_size, ranks) / s.repeats);
    tower.accept_images(phase.image_size);
    compute_gradients.measure_again();
  });

  // ==== Plan ===================================================================================
  auto model_facts = cp::model_facts(
      *model, config.name + ", " + cp::with_commas(classes.size()) + " classes", {tower});
  model_facts.checkpoints_activations = s.checkpoint_activations;
  cp::RunPlan plan(model_facts, precision, schedule, optimizer, ema, compute_gradients, ranks,
                   cp::DataFacts{.samples = run.dataset_samples, .batch_size = s.batch_size},
                   cp::WeightsFacts{.name = s.weights}, free);
  if (s.weights.empty() && (s.freeze || s.weights_head))
    plan.warn("freeze and weights-head need weights; the tower has random features");
  const cp::RunFolder folder(s.output, {.resume = s.resume, .look_only = s.plan}, ranks);
  plan.refuse_changes(cp::setting_differences(settings, folder.earlier_config()));
  for (const auto& facts : cp::phase_facts(run, config, ranks)) plan.add(facts);
  const bool may_start = cp::announce_plan(plan, out, s.force);
  if (s.plan) out << cp::learning_rate_curve(schedule, run.total_steps) << "\n";
  TORCH_CHECK(may_start, "the plan was refused; change what it names, or pass --force");
  if (s.plan) return;

  // ==== Resume =================================================================================
  cp::RunProgress progress;
  cp::CheckpointParts parts;
  parts.add("model", *model).add("optimizer", optimizer).add("scaler", scaler).add("ema", ema);
  parts.add("loader", loader).add("progress", progress);
  loader.start_epoch(0);
  if (folder.resumes()) folder.load(parts);
  for (const auto& note : folder.notes()) out << note << "\n";
  cp::on_first_rank(ranks, [&] { cp::write_settings(folder.config(), settings); });

  // ==== Sinks of the step record ===============================================================
  skipped.open(folder.rank_file("skipped", ".txt"));
  cp::ProgressLine line(out, {run.total_steps, s.log_every, cp::stdout_is_terminal()});
  cp::JsonLinesWriter log(folder.rank_file("log", ".jsonl"), progress.step);
  cp::EvaluationTable scores(folder.rank_file("evaluations", ".csv"), progress.step, s.compare);
  cp::ThroughputMeter meter;

  // ==== Evaluation =============================================================================
  cp::ClassAccuracy accuracy;  // Of the last evaluation.
  const auto evaluate = [&]() -> std::optional<double> {
    if (!eval_loader) return std::nullopt;
    const auto pause = meter.pause();
    const cp::EmaScope averaged(ema);
    const cp::ImageSizeScope full_size(tower, run.full_image_size());
    set_training(false);
    const auto classify = [&](const at::Tensor& bytes) {
      ranks.progress(progress.step);
      const cp::AutocastGuard autocast(precision, device);
      const auto features = tower(to_images(bytes.to(device)));
      const cp::NoAutocast no_autocast;
      return head->forward(cp::at_least_float32(features));
    };
    accuracy = cp::evaluate_classifier(*eval_loader, classify, classes.size(), ranks);
    set_training(true);
    auto record = run.record(progress);
    record.add("top1", accuracy.all.top1).add("top5", accuracy.all.top5);
    cp::notify_evaluation(record, line, log, scores);
    return accuracy.all.top1;
  };

  // ==== The loop ===============================================================================
  const auto last_step = s.last_step(run.total_steps);
  set_training(true);
  while (progress.step < last_step) {
    const auto phase = phase_at(progress.step);
    const auto loaded = loader.next();
    if (!loaded) {  // The metric of a checkpoint belongs to exactly the weights in it.
      const auto epoch = loader.epoch() + 1;
      const auto metric = epoch % s.eval_every == 0 ? evaluate() : std::nullopt;
      loader.start_epoch(epoch);
      if (metric) folder.save(progress.step, parts, metric);
      continue;
    }
    ranks.progress(progress.step);
    torch::manual_seed(cp::rank_seed(s.seed, progress.step, ranks.rank()));
    // Images are mixed before the batch is split, so the result does not depend on micro-batch.
    auto batch = cp::views_as_rows(s.repeats > 1 ? loaded->to(device) : *loaded, s.repeats);
    if (s.mixes_after(run.epochs_at(progress.step)))
      batch = mix(batch.to(device), s.seed, progress.step, ranks.rank());
    const double lr = schedule(progress.step);
    optimizer.zero_grad();
    const cp::LossTerms terms = compute_gradients(batch);
    const auto found_inf = scaler.unscale_(parameters);
    const auto norm = cp::clip_grad_norm_(parameters, max_norm);
    optimizer.step(lr, {.found_inf = found_inf});
    scaler.update();
    ema.update();
    progress.advance(phase.batch_size);
    meter.add(phase.batch_size);

    const bool last = progress.step == last_step;
    const bool saves = progress.step % s.save_every == 0 && !last;
    if (progress.step % s.log_every == 0 || saves || last) {
      const auto window = meter.next_window(loader.statistics().times);
      cp::StepRecord record = run.record(progress);  // the host waits for the device only here
      record.add(terms).add("lr", lr).add("gradient_norm", norm.item<double>()).add(window);
      cp::notify(record, line, log);
      cp::check_loss_is_finite(record, scaler.enabled());
    }
    if (saves) folder.save(progress.step, parts);
  }
  folder.save(progress.step, parts, evaluate());
  line.finish();

  // ==== Results ================================================================================
  if (!ranks.is_first()) return;
  const cp::EmaScope averaged(ema);
  cp::write_safetensors(folder / "classifier.safetensors", cp::module_state(*model).tensors);
  out << scores.text();
  if (eval_loader)
    out << cp::report_classes(folder / "classes.csv", accuracy, classes.names) << "\n";
  out << loader.statistics().skipped << " samples were skipped\n"
      << "wrote weights, log and checkpoints to " << s.output << "\n";
  if (!cp::write_curves(folder / "log.jsonl", folder / "curves.png",
                        {.title = config.name, .evaluations = scores.series()}))
    out << "curves.png: gnuplot is not installed\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Trains an image tower to classify images, and measures its accuracy."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    train(s, settings, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "train_vit: " << ranks.explain(error) << "\n";
    return 1;
  }
}
