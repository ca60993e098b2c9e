// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/broadcast_tensors.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/ranks.hpp"

namespace contrapunto {

struct GradientSyncOptions {
  double bucket_megabytes = 25.0;  ///< Size of a bucket of gradients that are reduced together, in
                                   ///< MiB; above 0.
  /// Halves the traffic of float32 gradients by rounding them to bfloat16 before they are summed.
  /// The sum is then accumulated in bfloat16, with 8 significant bits. Other dtypes are not
  /// converted.
  bool bf16 = false;
};

namespace detail {

class CallAfterNode : public torch::autograd::FunctionPostHook {
 public:
  explicit CallAfterNode(std::function<void()> call) : call_(std::move(call)) {}
  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& outputs,
      const torch::autograd::variable_list& /*inputs*/) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

}  // namespace detail

/// Sums gradients over the ranks while the backward still computes other gradients. It computes
/// sums rather than means: the loss of a rank must be its share of the loss of the whole batch. The
/// step strategies have their own GradientSync. Create one only for a training loop without them.
///
///   sync.begin_overlap();    // before the last backward of a step
///   loss.backward();         // earlier backwards of the step only accumulate
///   sync.wait();             // .grad now holds the sum over the ranks
///
/// Gradients are reduced in buckets, as in PyTorch's DistributedDataParallel. Buckets are filled
/// from the last parameter to the first, because the backward reaches parameters in this order. A
/// bucket is sent when all of its gradients are ready, and buckets are sent in the same order on
/// all ranks. If a parameter has no gradient on this rank but has one on another rank, this rank
/// contributes zeros. If no rank has a gradient, it stays undefined. wait() without begin_overlap()
/// sends everything at once.
///
/// If the backward itself exchanges tensors, all ranks must run the same graph. Gradients on the
/// same device must come from one CUDA stream. After wait() the float gradients of a bucket are
/// views of a single tensor.
class GradientSync {
 public:
  /// Uses those of `parameters` that require a gradient, each once. Create it after the model has
  /// its final device and dtype. Collective: raises on every rank if the ranks' parameters differ.
  /// With one rank nothing is ever done.
  [[nodiscard]] GradientSync(const std::vector<at::Tensor>& parameters, Ranks ranks,
                             GradientSyncOptions options = {})
      : ranks_(std::move(ranks)), o_(options) {
    TORCH_CHECK(o_.bucket_megabytes > 0.0, "GradientSync: bucket_megabytes is ",
                o_.bucket_megabytes, ", expected more than 0");
    if (ranks_.size() == 1) return;
    take(parameters);
    check_same_on_all_ranks(ranks_, "GradientSync: the list of parameters",
                            detail::describe_tensors(parameters_));
    fill_buckets();
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      // The node, and the hook with it, lives only as long as something holds a reference to it.
      auto node = torch::autograd::impl::grad_accumulator(parameters_[p]);
      const auto key =
          node->add_post_hook(std::make_unique<detail::CallAfterNode>([this, p] { arrived(p); }));
      hooks_.emplace_back(std::move(node), key);
    }
  }

  GradientSync(const GradientSync&) = delete;
  GradientSync& operator=(const GradientSync&) = delete;
  /// Must not run during a backward.
  ~GradientSync() {
    for (const auto& [node, key] : hooks_) node->del_post_hook(key);
  }

  /// From now on gradients are sent as soon as they are ready. Raises if wait() has not been called
  /// since the last begin_overlap(). If a gradient arrives after its bucket was sent, the backward
  /// raises.
  void begin_overlap() {
    const std::scoped_lock lock(mutex_);
    TORCH_CHECK(!overlapping_,
                "GradientSync: begin_overlap() was called twice; call wait() after the backward "
                "that follows it");
    overlapping_ = ranks_.size() > 1;
  }

  /// Sends the remaining gradients, waits for all of them and writes the sums to `.grad`.
  void wait() {
    if (ranks_.size() == 1) return;
    const at::NoGradGuard no_grad;
    const std::scoped_lock lock(mutex_);
    for (; next_ < buckets_.size(); ++next_) launch(buckets_[next_]);
    for (auto& bucket : buckets_) write_back(bucket);
    for (auto& bucket : buckets_) bucket.missing = bucket.members.size();
    std::fill(has_arrived_.begin(), has_arrived_.end(), false);
    next_ = 0;
    overlapping_ = false;
  }

  /// Number of buckets; 0 with one rank.
  [[nodiscard]] std::int64_t bucket_count() const {
    return static_cast<std::int64_t>(buckets_.size());
  }

 private:
  /// Gradients that are reduced together. They are stored one after another in a single tensor,
  /// followed by one number for each gradient: how many ranks have it.
  struct Bucket {
    std::vector<std::size_t> members;  // Indices into parameters_.
    std::vector<std::int64_t> offsets;
    std::int64_t elements = 0;
    std::size_t missing = 0;
    std::optional<PendingTensor> pending;
    at::Tensor flat;
    std::vector<at::Tensor> views;  // Views of `flat` in the shapes of the members.
  };

  static constexpr std::int64_t kAlignment = 64;  // Elements; kernels read 16 bytes at a time.

  void take(const std::vector<at::Tensor>& parameters) {
    std::set<const void*> seen;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto& parameter = parameters[i];
      TORCH_CHECK(parameter.defined(), "GradientSync: parameter #", i, " is undefined");
      if (!parameter.requires_grad() || !seen.insert(parameter.unsafeGetTensorImpl()).second)
        continue;
      TORCH_CHECK(parameter.is_leaf(), "GradientSync: parameter #", i, " of shape ",
                  parameter.sizes(), " is the result of an operation, expected a leaf");
      parameters_.push_back(parameter);
      numbers_.push_back(i);
      bucket_of_.push_back(0);
    }
    has_arrived_.assign(parameters_.size(), false);
  }

  void fill_buckets() {
    std::map<std::pair<std::string, at::ScalarType>, Bucket> open;
    const auto limit = o_.bucket_megabytes * 1024 * 1024;
    for (std::size_t p = parameters_.size(); p-- > 0;) {
      const auto& parameter = parameters_[p];
      auto& bucket = open[{parameter.device().str(), parameter.scalar_type()}];
      bucket.members.push_back(p);
      bucket.offsets.push_back(bucket.elements);
      bucket.elements += (parameter.numel() + kAlignment - 1) / kAlignment * kAlignment;
      if (static_cast<double>(bucket.elements * parameter.element_size()) < limit) continue;
      buckets_.push_back(std::exchange(bucket, Bucket{}));
    }
    for (auto& [kind, bucket] : open)
      if (!bucket.members.empty()) buckets_.push_back(std::move(bucket));
    // Buckets are sorted by the order in which the backward completes them.
    std::sort(buckets_.begin(), buckets_.end(),
              [](const Bucket& a, const Bucket& b) { return a.members.back() > b.members.back(); });
    for (std::size_t b = 0; b < buckets_.size(); ++b) {
      buckets_[b].missing = buckets_[b].members.size();
      for (const auto p : buckets_[b].members) bucket_of_[p] = b;
    }
  }

  // Called by autograd, on a CUDA device from another thread.
  void arrived(std::size_t p) {
    const std::scoped_lock lock(mutex_);
    if (!overlapping_) return;
    TORCH_CHECK(bucket_of_[p] >= next_, "GradientSync: a gradient of parameter #", numbers_[p],
                " of shape ", parameters_[p].sizes(),
                " arrived after it was sent; call begin_overlap() before the last backward of a "
                "step only, and wait() after it");
    if (has_arrived_[p]) return;
    has_arrived_[p] = true;
    --buckets_[bucket_of_[p]].missing;
    const at::NoGradGuard no_grad;
    // Buckets are sent in order, because another rank may complete its buckets in another order.
    for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_)
      launch(buckets_[next_]);
  }

  void launch(Bucket& bucket) {
    const auto& first = parameters_[bucket.members.front()];
    const bool narrow = o_.bf16 && first.scalar_type() == at::kFloat;
    const auto count = static_cast<std::int64_t>(bucket.members.size());
    bucket.flat = at::zeros({bucket.elements + count},
                            first.options().dtype(narrow ? at::kBFloat16 : first.scalar_type()));
    auto flags = bucket.flat.narrow(0, bucket.elements, count).fill_(1);
    std::vector<at::Tensor> to, from;
    bucket.views.clear();
    for (std::size_t m = 0; m < bucket.members.size(); ++m) {
      const auto& parameter = parameters_[bucket.members[m]];
      const auto part = bucket.flat.narrow(0, bucket.offsets[m], parameter.numel());
      // Kernels that iterate over memory need gradients with the strides of their parameters.
      bucket.views.push_back(parameter.is_non_overlapping_and_dense()
                                 ? part.as_strided(parameter.sizes(), parameter.strides()).detach()
                                 : part.view(parameter.sizes()).detach());
      const auto& gradient = parameter.grad();
      if (!gradient.defined()) {
        flags.narrow(0, static_cast<std::int64_t>(m), 1).zero_();
        continue;
      }
      TORCH_CHECK(gradient.layout() == at::kStrided &&
                      gradient.scalar_type() == first.scalar_type() &&
                      gradient.device() == first.device(),
                  "GradientSync: the gradient of parameter #", numbers_[bucket.members[m]], " is ",
                  gradient.toString(), " on ", gradient.device(), ", expected ", first.toString(),
                  " on ", first.device(), "; create GradientSync after moving the model");
      to.push_back(bucket.views.back());
      from.push_back(gradient);
    }
    if (!to.empty()) at::_foreach_copy_(to, from);
    // The copies replace the gradients, whose memory is free from now on.
    if (!narrow)
      for (std::size_t m = 0; m < bucket.members.size(); ++m) {
        auto& gradient = parameters_[bucket.members[m]].mutable_grad();
        if (gradient.defined()) gradient = bucket.views[m];
      }
    bucket.pending = ranks_.all_reduce_sum_async(bucket.flat);
  }

  void write_back(Bucket& bucket) {
    bucket.pending->wait();
    const bool narrow =
        bucket.flat.scalar_type() != parameters_[bucket.members.front()].scalar_type();
    const auto count = static_cast<std::int64_t>(bucket.members.size());
    at::Tensor flags;
    std::vector<at::Tensor> to, from;
    for (std::size_t m = 0; m < bucket.members.size(); ++m) {
      const auto& parameter = parameters_[bucket.members[m]];
      auto& gradient = parameter.mutable_grad();
      if (!gradient.defined()) {
        // Only a rank that lacks a gradient needs the flags and has to wait for them.
        if (!flags.defined())
          flags = bucket.flat.narrow(0, bucket.elements, count).to(at::kCPU, at::kFloat);
        if (flags.data_ptr<float>()[m] == 0.0f) continue;
        gradient = narrow ? at::empty_like(parameter.detach()) : bucket.views[m];
      }
      if (!narrow) continue;  // The gradient already is the view.
      to.push_back(gradient);
      from.push_back(bucket.views[m]);
    }
    if (!to.empty()) at::_foreach_copy_(to, from);
    bucket.pending.reset();
    bucket.flat.reset();
    bucket.views.clear();
  }

  Ranks ranks_;
  GradientSyncOptions o_;
  std::vector<at::Tensor> parameters_;  // Those that require a gradient, each once.
  std::vector<std::size_t> numbers_;    // Their indices in the caller's list.
  std::vector<std::size_t> bucket_of_;
  std::vector<Bucket> buckets_;
  // A std::shared_ptr; in newer LibTorch versions an intrusive pointer.
  using NodePointer =
      decltype(torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()));
  std::vector<std::pair<NodePointer, std::uintptr_t>> hooks_;

  std::mutex mutex_;  // Guards the following members and the buckets.
  bool overlapping_ = false;
  std::vector<bool> has_arrived_;
  std::size_t next_ = 0;  // Next bucket to send.
};

}  // namespace contrapunto
