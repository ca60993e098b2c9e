// SPDX-License-Identifier: CC0-1.0
// Compresses a CLIP model in stages, as TinyCLIP does: each stage inherits a part of the weights
// of the stage before and learns from a teacher, which is the first model unless --teacher names
// another one. It runs as one process or as any number of ranks.
//
//   train_tinyclip --config examples/recipes/tinyclip_auto_b32.toml --train-data 'laion400m/*.tar'
//
// Automatic stages (--stage-sparsity) learn which units of the residual stream, heads and hidden
// units to remove, for --mask-steps, then take them out and train on. Manual stages
// (--stage-models) have models of their own. Each stage has a folder in --output with its weights,
// configuration, log and checkpoints. --resume auto goes on inside any stage. The settings are
// described in docs/reference/settings.md, the method in docs/guides/distillation.md.
//
// What to expect: a table of accuracy, parameters, multiply-adds and time per stage at the end;
// recipes/tinyclip_*.toml give the published numbers of their models.
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <contrapunto/contrapunto.hpp>
#include <iostream>

namespace cp = contrapunto;

namespace {

// ==== Settings =================================================================================
/// RunSettings: output, resume, log_every, plan and so on. DataSettings: train_data, eval_data,
/// threads. TeacherSettings: teacher, distillation. StageSettings: models or sparsity, epochs.
/// OptimizerSettings: optimizer, beta2, weight_decay.
struct Settings : cp::RunSettings,
                  cp::DataSettings,
                  cp::AugmentationSettings,
                  cp::TeacherSettings,
                  cp::StageSettings,
                  cp::OptimizerSettings {
  Settings() { output = "runs/train_tinyclip", distillation_scale = 50.0, weight_decay = 0.2; }
  // Data
  std::string class_names, vocabulary;
  std::vector<std::string> templates = {"a photo of a {}."};
  // Model
  std::string model = "ViT-B-32", weights;
  bool checkpoint_activations = false, ring = false;
  // Optimization
  std::int64_t batch_size = 256;
  std::string chunk_size = "none", warmup = "5%", precision = "fp32";
  double clip = 5.0, ema = 0.0;
  std::uint64_t seed = 0;
  // Run
  std::int64_t pretend_samples = 0;
};

/// Describes every setting once. The command line, --config FILE.toml, config.json and the
/// comparisons between ranks and with an earlier run are made from this table.
cp::SettingsTable describe(Settings& s) {
  cp::SettingsTable t;
  t.section("Data");
  cp::add_data_settings(t, s);
  cp::add_order_settings(t, s);
  cp::add_caption_settings(t, s);
  t.add("class-names", s.class_names, "file with a name on each line; empty: as eval-data says");
  t.add("vocabulary", s.vocabulary, "CLIP's bpe_simple_vocab_16e6.txt.gz; empty: bytes are tokens");
  t.add("templates", s.templates, "zero-shot prompts; {} becomes the name of the class");
  cp::add_training_augmentation_settings(t, s);
  t.section("Model");
  t.add("model", s.model, "the model to compress: a name or a .json file in OpenCLIP's format");
  t.add("weights", s.weights, "its OpenCLIP weights");
  cp::add_teacher_settings(t, s);
  t.add("ring", s.ring, "texts travel from rank to rank: less memory, the same loss");
  t.add("checkpoint-activations", s.checkpoint_activations, "recompute the blocks in backward");
  t.section("Stages");
  cp::add_stage_settings(t, s);
  t.section("Optimization");
  t.add("batch-size", s.batch_size, "pairs in one optimizer step, over all ranks");
  t.add("chunk-size", s.chunk_size, "GradCache: pairs in memory at once per rank, 'auto' or 'none'")
      .readable_by(cp::parse_chunk_size);
  t.add("warmup", s.warmup, "of each stage: '500 steps', '100000 samples' or '5%' of it")
      .readable_by(cp::parse_duration);
  cp::add_optimizer_settings(t, s);
  t.add("clip", s.clip, "largest norm of the gradient; 0: no clipping").check(cp::at_least(0));
  t.add("ema", s.ema, "decay of the averaged weights, which are evaluated and exported; 0: none");
  t.add("precision", s.precision, "fp32, tf32, fp16, bf16 or pure_bf16")
      .readable_by(cp::precision_policy);
  t.add("seed", s.seed, "seed of weights, data order, crops and masks");
  t.section("Run");
  t.add("pretend-samples", s.pretend_samples, "with plan: size of train-data").may_change();
  cp::add_run_settings(t, s);
  return t;
}

/// What is replaced when the units that are gone are taken out.
struct Network {
  Network(const Settings& s, cp::ModelConfig its_config, cp::DualEncoder its_model,
          const cp::Teachers& teachers, const cp::Ranks& ranks)
      : config(std::move(its_config)),
        model(std::move(its_model)),
        optimizer(cp::make_optimizer(s, cp::distillation_groups(*model, teachers, s.weight_decay),
                                     ranks, cp::clip_adamw_options(config), s.batch_size)),
        ema(*model, s.ema) {
    if (s.checkpoint_activations) cp::checkpoint_activations(*model);
    model->train();
  }

  cp::ModelConfig config;
  cp::DualEncoder model;
  cp::ShardedOptimizer<cp::AnyUpdateRule> optimizer;
  cp::Ema ema;
  std::optional<cp::PruningMasks> masks = {};  // Created after the optimizer and the average.
};

void train(Settings s, const cp::SettingsTable& settings, const cp::Ranks& ranks) {
  // ==== Ranks, device, precision ===============================================================
  cp::check_same_on_all_ranks(ranks, "the settings", cp::setting_values(settings));
  const torch::Device device = ranks.device();
  const cp::DeviceFacts free{cp::free_memory_bytes(device)};  // before a model takes its part
  const cp::PrecisionPolicy precision = cp::precision_policy(s.precision);
  std::ostream silent(nullptr);
  std::ostream& out = ranks.is_first() ? std::cout : silent;
  const auto stages = cp::compression_stages(s);
  TORCH_CHECK(!s.weights.empty(), "there is nothing to compress; give the model's --weights");
  if (s.teacher.empty() && s.teacher_stores.empty())
    s.teacher = s.weights, s.teacher_model = s.model;

  // ==== Data ===================================================================================
  cp::ModelConfig config = cp::find_model_config(s.model);
  const cp::Tokenizer tokenizer = cp::make_tokenizer(s.vocabulary, config.text.context_length);
  config.text.vocab_size = tokenizer.vocab_size;
  const auto open = [&](const std::string& spec, std::int64_t n, std::uint64_t seed) {
    return cp::open_data(s, spec, out, {.samples = n, .seed = seed});
  };
  const cp::ImageTransformOptions pixels = cp::training_transform(config, s);
  const bool trims = !config.text.reads_padding();  // texts are cut after their last token
  const std::int64_t made = s.plan && s.pretend_samples > 0 ? s.pretend_samples : 6'000;
  const auto train_source = cp::with_image_cache(open(s.train_data, made, 0), s, out);
  cp::LoaderOptions loading =
      cp::with_data_settings({.batch_size = cp::samples_per_rank(s.batch_size, ranks),
                              .seed = s.seed,
                              .pad_text_to = trims ? 0 : config.text.context_length,
                              .ranks = ranks,
                              .augment_device = cp::augment_device(s, device),
                              .pin_memory = device.is_cuda(),
                              .channels_last = true},
                             s, *train_source);
  cp::SkippedSampleFile skipped(std::cerr);
  loading.on_skip = skipped;
  cp::add_teacher_readings(loading, s, config, s.vocabulary);
  cp::DataLoader loader(train_source, cp::ImageTransform(pixels), tokenizer.encode, loading);
  for (const auto& line : loader.describe_epoch()) out << line << "\n";
  std::optional<cp::DataLoader> eval_loader;
  std::vector<std::string> classes;
  if (s.train_data == "synthetic" || !s.eval_data.empty()) {
    eval_loader.emplace(open(s.eval_data.empty() ? s.train_data : s.eval_data, 1'500, 1),
                        cp::ImageTransform(pixels.for_evaluation()), nullptr,
                        loading.for_evaluation());
    classes =
        s.class_names.empty() ? eval_loader->source().class_names() : cp::read_lines(s.class_names);
    for (const auto unseen : cp::check_labels(eval_loader->source(), std::ssize(classes)).unseen())
      out << "eval-data has no sample of class " << unseen << "\n";
  }
  const auto to_images = cp::image_normalizer(config);
  auto teachers = cp::load_teachers(s, loader.teacher_stores(), config, precision, device);

  // The accuracy of a model, and a line of the table at the end.
  const auto evaluate = [&](cp::DualEncoder& model) -> std::optional<double> {
    if (!eval_loader) return std::nullopt;
    const torch::NoGradGuard no_grad;
    const cp::AutocastGuard autocast(precision, device);
    model->eval();
    const auto encode_text = [&](const auto& x) { return model->encode_text(x.to(device)); };
    const auto encode_image = [&](const auto& x) {
      return model->encode_image(to_images(x.to(device)));
    };
    const auto classifier =
        cp::zero_shot_classifier(encode_text, tokenizer.encode_all, classes, s.templates);
    const auto top1 = cp::evaluate_zero_shot(*eval_loader, encode_image, classifier, ranks).top1;
    model->train();
    return top1;
  };
  std::vector<cp::StageResult> results;
  const auto add_result = [&](const std::string& name, const cp::ModelConfig& its_config,
                              cp::DualEncoder& model, std::optional<double> top1) {
    results.push_back(cp::stage_result(name, its_config, model, device, top1));
    out << cp::stage_table({results.back()}) << std::flush;
  };
  const auto load = [&](const cp::ModelConfig& its_config, const std::filesystem::path& path) {
    auto model = cp::make_dual_encoder(its_config);
    cp::load_open_clip_state(model, its_config, cp::read_weights(path));
    model->to(device);
    return model;
  };
  std::filesystem::path weights = s.weights;
  if (!s.plan) {
    auto model = load(config, weights);
    add_result("start", config, model, evaluate(model));
  }

  for (std::size_t number = 1; number <= stages.size(); ++number) {
    const auto& stage = stages[number - 1];
    const auto name = "stage-" + std::to_string(number);
    const auto output = std::filesystem::path(s.output) / name;
    torch::manual_seed(s.seed);
    if (!s.resume.empty() && std::filesystem::exists(output / "open_clip_model.safetensors")) {
      config = cp::read_model_config(output / "open_clip_config.json");
      config.name = name;
      weights = output / "open_clip_model.safetensors";
      auto model = load(config, weights);
      add_result(name, config, model, evaluate(model));
      continue;
    }
    const cp::RunFolder folder(
        output, {.resume = s.resume.empty() ? "" : "auto", .look_only = s.plan}, ranks);
    const bool extracted = folder.resumes() && !folder.holds("masks");

    // ==== Model ================================================================================
    const auto before = config;
    cp::DualEncoder model = nullptr;
    if (stage.model.empty()) {
      if (extracted) config = cp::read_model_config(output / "pruned.json");
      model = extracted ? cp::make_dual_encoder(config) : load(config, weights);
    } else {
      config = cp::find_model_config(stage.model);
      config.text.vocab_size = tokenizer.vocab_size;
      model = cp::make_dual_encoder(config);
      if (!s.plan)
        for (const auto& line :
             cp::inherit_weights(model, config, cp::read_weights(weights), before,
                                 {.units = cp::unit_rule(s.stage_units)}))
          out << "inherited " << line << "\n";
    }
    model->to(device);
    cp::apply_precision_(*model, precision);
    cp::synchronize_batch_norm(*model, ranks);
    cp::broadcast_module_(*model, ranks);

    // ==== Loss =================================================================================
    const cp::TileOptions tiles{.matmul_dtype = precision.product_dtype()};
    const cp::TiledInfoNce info_nce({.tiles = tiles, .ring = s.ring}, ranks);
    const auto loss = cp::distillation_loss(s, info_nce, {.tiles = tiles, .ring = s.ring}, ranks);

    // ==== Optimizer, schedule, averages ========================================================
    cp::RunLength run{.dataset_samples = s.plan && s.pretend_samples > 0
                                             ? s.pretend_samples
                                             : loader.samples_per_epoch(),
                      .batch_size = s.batch_size};
    run.total_steps = cp::to_steps({stage.epochs, cp::DurationUnit::kEpochs}, run);
    TORCH_CHECK(stage.mask_steps < run.total_steps, name, " has ", run.total_steps,
                " steps and mask-steps ", stage.mask_steps,
                "; the network that is left must be trained too");
    const cp::LearningRateSchedule schedule(
        {.kind = "cosine",
         .peak_lr = stage.lr,
         .warmup_steps = cp::to_steps(cp::parse_duration(s.warmup), run),
         .total_steps = run.total_steps});
    const double max_norm = s.clip > 0.0 ? s.clip : std::numeric_limits<double>::infinity();
    cp::LossScaler scaler(precision, device);
    auto network = std::make_unique<Network>(s, config, model, teachers, ranks);
    if (stage.model.empty() && !extracted)
      network->masks.emplace(network->model, config,
                             cp::PruningOptions{.image = s.prune_image,
                                                .text = s.prune_text,
                                                .measure = s.measure(),
                                                .start_sparsity = stage.start_sparsity,
                                                .target_sparsity = stage.sparsity,
                                                .ramp_steps = s.sparsity_ramp,
                                                .original = cp::find_model_config(s.model),
                                                .lr = s.mask_lr,
                                                .seed = s.seed});

    // ==== Step: batch in, gradients out ========================================================
    const auto make_step = [&](const Network& of) {
      return cp::GradCache(
          cp::with_teachers(
              cp::pair_step_model(of.model, device, {.prepare_x = to_images, .trim_y = trims}),
              teachers),
          loss, {.chunk_size = cp::parse_chunk_size(s.chunk_size)},
          {.precision = precision, .device = device, .scaler = &scaler, .ranks = ranks});
    };
    auto compute_gradients = std::make_unique<decltype(make_step(*network))>(make_step(*network));

    // ==== Plan =================================================================================
    auto model_facts = cp::model_facts(*network->model, config);
    model_facts.checkpoints_activations = s.checkpoint_activations;
    cp::RunPlan plan(model_facts, precision, schedule, network->optimizer, network->ema,
                     *compute_gradients, ranks,
                     cp::DataFacts{.samples = run.dataset_samples, .batch_size = s.batch_size},
                     cp::WeightsFacts{.name = weights.string()}, free);
    for (const auto& facts : teachers.facts) plan.add(facts);
    plan.refuse_changes(cp::setting_differences(settings, folder.earlier_config()));
    out << name << "\n";
    TORCH_CHECK(cp::announce_plan(plan, out, s.force),
                "the plan was refused; change what it names, or pass --force");
    if (s.plan && stage.model.empty()) return;  // Later stages depend on what this one removes.
    if (s.plan) continue;

    // ==== Resume ===============================================================================
    cp::RunProgress progress;
    const auto parts_of = [&](Network& of) {
      cp::CheckpointParts parts;
      parts.add("model", *of.model).add("optimizer", of.optimizer).add("scaler", scaler);
      parts.add("ema", of.ema).add("loader", loader).add("progress", progress);
      if (of.masks) parts.add("masks", *of.masks);
      if (teachers.maps) parts.add("feature_maps", *teachers.maps);
      return parts;
    };
    loader.start_epoch(0);
    if (folder.resumes()) folder.load(parts_of(*network));
    for (const auto& note : folder.notes()) out << note << "\n";
    cp::on_first_rank(ranks, [&] { cp::write_settings(folder.config(), settings); });

    // ==== Sinks of the step record =============================================================
    skipped.open(folder.rank_file("skipped", ".txt"));
    cp::ProgressLine line(out, {run.total_steps, s.log_every, cp::stdout_is_terminal()});
    cp::JsonLinesWriter log(folder.rank_file("log", ".jsonl"), progress.step);
    cp::EvaluationTable scores(folder.rank_file("evaluations", ".csv"), progress.step, s.compare);
    cp::ThroughputMeter meter;

    // ==== Evaluation ===========================================================================
    const auto evaluate_now = [&]() -> std::optional<double> {
      const auto pause = meter.pause();
      if (network->masks) network->masks->fix_();
      const cp::EmaScope averaged(network->ema);
      const auto top1 = evaluate(network->model);
      if (top1)
        cp::notify_evaluation(run.record(progress).add("zero_shot_top1", *top1), line, log, scores);
      return top1;
    };

    // ==== The loop =============================================================================
    const auto last_step = s.last_step(run.total_steps);
    while (progress.step < last_step) {
      if (network->masks && progress.step == stage.mask_steps) {
        network->masks->fix_();
        const cp::Extraction extraction(*network->masks, network->config);
        for (const auto& text : extraction.report()) out << "kept " << text << "\n";
        auto smaller = std::make_unique<Network>(s, extraction.config(),
                                                 extraction.model(network->model), teachers, ranks);
        smaller->optimizer.load_state(extraction.optimizer_state(network->optimizer.save_state()));
        smaller->ema.load_state(extraction.averages(network->ema.save_state()));
        network = std::move(smaller);
        compute_gradients = std::make_unique<decltype(make_step(*network))>(make_step(*network));
        cp::on_first_rank(ranks,
                          [&] { cp::write_model_config(output / "pruned.json", network->config); });
        folder.save(progress.step, parts_of(*network));
      }
      const auto batch = loader.next();
      if (!batch) {
        const auto metric = evaluate_now();
        loader.start_epoch(loader.epoch() + 1);
        folder.save(progress.step, parts_of(*network), metric);
        continue;
      }
      ranks.progress(progress.step);
      torch::manual_seed(cp::rank_seed(s.seed, progress.step, ranks.rank()));
      const double lr = schedule(progress.step);
      auto& masks = network->masks;
      network->optimizer.zero_grad();
      if (masks) masks->sample_(progress.step);
      const cp::LossTerms terms = (*compute_gradients)(*batch);
      const auto parameters = network->optimizer.parameters();
      auto all = parameters;
      if (masks)
        for (const auto& mask : masks->parameters()) all.push_back(mask);
      const auto found_inf = scaler.unscale_(all);
      const auto norm = cp::clip_grad_norm_(parameters, max_norm);
      network->optimizer.step(lr, {.found_inf = found_inf});
      if (masks) masks->update_(progress.step, {.found_inf = found_inf});
      scaler.update();
      network->model->clamp_logit_scale_();
      network->ema.update();
      progress.advance(s.batch_size);
      meter.add(s.batch_size);

      const bool last = progress.step == last_step;
      const bool saves = progress.step % s.save_every == 0 && !last;
      if (progress.step % s.log_every == 0 || saves || last) {
        const auto window = meter.next_window(loader.statistics().times);
        cp::StepRecord record = run.record(progress);  // the host waits for the device only here
        record.add(terms).add("lr", lr).add("gradient_norm", norm.item<double>()).add(window);
        if (masks) record.add("sparsity", masks->expected_sparsity());
        cp::notify(record, line, log);
        cp::check_loss_is_finite(record, scaler.enabled());
      }
      if (saves) folder.save(progress.step, parts_of(*network));
    }
    const auto top1 = evaluate_now();
    folder.save(progress.step, parts_of(*network), top1);
    line.finish();
    if (last_step < run.total_steps) return;  // --stop-after

    // ==== Results ==============================================================================
    config = network->config;
    weights = output / "open_clip_model.safetensors";
    {
      const cp::EmaScope averaged(network->ema);
      add_result(name, config, network->model, top1);
      cp::on_first_rank(ranks, [&] {
        cp::write_model_config(output / "open_clip_config.json", config);
        if (!cp::write_curves(folder / "log.jsonl", folder / "curves.png",
                              {.title = name, .evaluations = scores.series()}))
          out << "curves.png: gnuplot is not installed\n";
        cp::write_safetensors(weights, cp::open_clip_state(network->model, config));
      });
    }
    out << scores.text();
  }
  out << cp::stage_table(results) << "wrote every stage to " << s.output << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  cp::SettingsTable settings = describe(s);
  CLI::App app{"Compresses a CLIP model in stages, with weight inheritance and distillation."};
  cp::add_to_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  cp::Ranks ranks;
  try {
    ranks = cp::join_ranks({.device = s.device});
    train(s, settings, ranks);
    ranks.sign_off();
  } catch (const std::exception& error) {
    std::cerr << "train_tinyclip: " << ranks.explain(error) << "\n";
    return 1;
  }
}
