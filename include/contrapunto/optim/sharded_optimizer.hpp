// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/core/detail/load_tensors.hpp"
#include "contrapunto/core/run_facts.hpp"
#include "contrapunto/core/state.hpp"
#include "contrapunto/distributed/rank_checks.hpp"
#include "contrapunto/distributed/ranks.hpp"
#include "contrapunto/optim/optimizer.hpp"
#include "contrapunto/optim/parameter_group.hpp"
#include "contrapunto/optim/step_scaling.hpp"

namespace contrapunto {

struct ShardedOptimizerOptions {
  /// Size of the buffer, in MiB over all ranks, in which updated weights are gathered; above 0.
  double gather_megabytes = 64.0;
};

namespace detail {

/// Assigns each of `sizes` to one of `ranks`: the largest first, each to the rank with the smallest
/// total.
[[nodiscard]] inline std::vector<std::int64_t> partition(const std::vector<std::int64_t>& sizes,
                                                         std::int64_t ranks) {
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  std::vector<std::int64_t> loads(static_cast<std::size_t>(ranks), 0), owners(sizes.size());
  for (const auto i : order) {
    const auto least = std::min_element(loads.begin(), loads.end());
    *least += sizes[i];
    owners[i] = least - loads.begin();
  }
  return owners;
}

/// Returns the elements of a tensor without gaps, [numel], in memory order.
[[nodiscard]] inline at::Tensor in_memory_order(const at::Tensor& tensor) {
  return tensor.detach().as_strided({tensor.numel()}, {1});
}

}  // namespace detail

/// An Optimizer whose state is sharded over the ranks (ZeRO stage 1): each rank keeps the state and
/// float32 master copies of some whole parameters, updates these parameters and sends them to the
/// other ranks. The state per rank is about 1 / W of the Optimizer's, plus at worst the state of
/// the largest parameter.
///
///   ShardedOptimizer optimizer(groups, ranks, AdamWRule{.beta2 = 0.98});
///   compute_gradients(batch);  // a step strategy, which sums the gradients over the ranks
///   optimizer.step(lr);        // collective
///
/// The updated parameters are bit for bit those of the Optimizer with the same gradients, unless
/// the rule computes something of several parameters at once, as MuonRule does. They are the same
/// on all ranks, even if they differed before. The state is that of the Optimizer, so a run may
/// resume with either of them and with any number of ranks.
/// Reference: Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054
template <class Rule>
class ShardedOptimizer {
 public:
  /// Collective: raises on every rank if the ranks' parameters or groups differ, and for everything
  /// that Optimizer rejects. Parameters must be on one device and must not have gaps in memory.
  explicit ShardedOptimizer(const std::vector<ParameterGroup>& groups, Ranks ranks = {},
                            Rule rule = {}, ShardedOptimizerOptions sharding = {})
      : ranks_(std::move(ranks)), sharding_(sharding), local_(take(groups, rule), rule) {}

  /// Updates the parameters as Optimizer::step does. Collective. With `grad_scale` only the
  /// gradients of this rank's share are divided in place.
  void step(double lr, const StepScaling& scaling = {}) {
    local_.step(lr, scaling);
    if (ranks_.size() > 1) exchange_weights();
  }

  /// Resets all gradients to undefined tensors, including those of parameters that other ranks
  /// update.
  void zero_grad() {
    for (const auto& member : members_) member.parameter.mutable_grad().reset();
  }

  /// Returns the names of the parameters that a step would skip now.
  [[nodiscard]] std::vector<std::string> without_gradient() const {
    std::vector<std::string> names;
    for (const auto& member : members_)
      if (!member.parameter.grad().defined()) names.push_back(member.name);
    return names;
  }

  /// Returns all parameters that are optimized on any rank, for gradient clipping.
  [[nodiscard]] std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto& member : members_) all.push_back(member.parameter);
    return all;
  }

  /// Returns the state that Optimizer's save_state() would return, on every rank, or with `root`
  /// only on that rank; other ranks then get an empty state and need no memory for it. Tensors of
  /// this rank's share are those of the optimizer, and the others are copies in host memory.
  /// Collective.
  [[nodiscard]] State save_state(std::optional<std::int64_t> root = std::nullopt) const {
    if (ranks_.size() == 1) return local_.save_state();
    const at::NoGradGuard no_grad;
    const auto own = local_.save_state();
    const bool keep = !root || *root == ranks_.rank();
    auto counts = at::zeros({static_cast<std::int64_t>(members_.size())}, at::kLong);
    for (std::size_t i = 0; i < members_.size(); ++i)
      if (is_own(members_[i]))
        counts.data_ptr<std::int64_t>()[i] =
            own.template scalar<std::int64_t>("step." + members_[i].name);
    counts = counts.to(ranks_.device());
    ranks_.all_reduce_sum_(counts);
    counts = counts.cpu();

    State state;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const auto& member = members_[i];
      for (const auto& name : member.tensors) {
        const auto& p = member.parameter;
        const auto kind = member.low_precision ? at::kFloat : p.scalar_type();
        const auto tensor = is_own(member)
                                ? own.tensor(name)
                                : at::empty_strided(p.sizes(), p.strides(),
                                                    p.options().dtype(kind).requires_grad(false));
        auto flat = detail::in_memory_order(tensor);
        if (flat.numel() > 0) ranks_.broadcast_(flat, member.owner);
        if (keep) state.tensors[name] = is_own(member) ? tensor : tensor.cpu();
      }
      if (keep) state.scalars["step." + member.name] = counts.data_ptr<std::int64_t>()[i];
    }
    return state;
  }

  /// Restores the optimizer (this one or Optimizer) that saved `state`. Every rank needs the whole
  /// state. 16-bit parameters are set from their master copies. Raises on every rank as Optimizer's
  /// load_state() does.
  void load_state(const State& state) {
    TensorMap expected;
    State own;
    for (const auto& member : members_) {
      const auto count = state.template scalar<std::int64_t>("step." + member.name);
      if (is_own(member)) own.scalars["step." + member.name] = count;
      for (const auto& name : member.tensors) expected[name] = member.parameter;
    }
    detail::check_tensors(
        rule().name() +
            ": the state belongs to another model, to other parameter groups or to "
            "another optimizer",
        expected, state.tensors);
    const at::NoGradGuard no_grad;
    for (const auto& member : members_) {
      if (is_own(member))
        for (const auto& name : member.tensors) own.tensors[name] = state.tensor(name);
      else if (member.low_precision)
        at::Tensor(member.parameter).copy_(state.tensor("master." + member.name));
    }
    local_.load_state(own);
  }

  [[nodiscard]] const Rule& rule() const { return local_.rule(); }

  /// The properties of the optimizer that a plan of the run uses; the same on every rank.
  [[nodiscard]] OptimizerFacts facts() const {
    double bytes = 0.0, elements = 0.0;
    for (const auto& member : members_) {
      bytes += static_cast<double>(member.state_bytes);
      elements += static_cast<double>(member.parameter.numel());
    }
    auto facts = local_.facts();
    facts.bytes_per_parameter = elements > 0.0 ? bytes / elements : 0.0;
    facts.shards_state = ranks_.size() > 1;
    return facts;
  }

  /// Bytes of state and master copies on this rank.
  [[nodiscard]] std::int64_t state_bytes() const {
    std::int64_t bytes = 0;
    for (const auto& member : members_)
      if (is_own(member)) bytes += member.state_bytes;
    return bytes;
  }

 private:
  struct Member {
    std::string name;
    at::Tensor parameter;
    bool low_precision = false;
    std::vector<std::string> tensors = {};  // Names of its state and master copy in a State.
    std::int64_t state_bytes = 0;
    std::int64_t owner = 0;
    std::int64_t begin = 0;  // Offset of its bytes among those that its owner sends.
    std::int64_t bytes = 0;
  };

  static constexpr std::int64_t kAlignment = 64;  // Bytes; copies of aligned data are fast.

  [[nodiscard]] bool is_own(const Member& member) const { return member.owner == ranks_.rank(); }

  // Fills members_ and returns the groups with this rank's share of the parameters.
  std::vector<ParameterGroup> take(const std::vector<ParameterGroup>& groups, const Rule& rule) {
    TORCH_CHECK(sharding_.gather_megabytes > 0.0, "ShardedOptimizer: gather_megabytes is ",
                sharding_.gather_megabytes, ", expected more than 0");
    std::ostringstream shown;
    std::set<std::string> names;
    std::set<const void*> seen;
    for (const auto& group : groups) {
      TORCH_CHECK(group.parameters.size() == group.parameter_names.size(),
                  "ShardedOptimizer: group '", group.name, "' has ", group.parameters.size(),
                  " parameters but ", group.parameter_names.size(), " names");
      shown << "group " << group.name << " " << group.weight_decay << " " << group.lr_multiplier;
      for (std::size_t i = 0; i < group.parameters.size(); ++i) {
        const auto& p = group.parameters[i];
        const auto& name = group.parameter_names[i];
        check(p, name);
        TORCH_CHECK(names.insert(name).second && seen.insert(p.unsafeGetTensorImpl()).second,
                    "ShardedOptimizer: parameter '", name, "' is given twice");
        shown << "; " << name << " " << p.scalar_type() << " " << p.sizes() << " strides "
              << p.strides();
        const auto kind = p.scalar_type();
        const bool low = kind == at::kHalf || kind == at::kBFloat16;
        Member member{.name = name, .parameter = p, .low_precision = low};
        for (const auto& tensor : rule.state_names(name, p))
          member.tensors.push_back(tensor + "." + name);
        if (low) member.tensors.push_back("master." + name);
        member.state_bytes = std::ssize(member.tensors) * p.numel() * (low ? 4 : p.element_size());
        member.bytes = p.numel() * p.element_size();
        members_.push_back(std::move(member));
      }
      shown << "\n";
    }
    check_same_on_all_ranks(ranks_, "ShardedOptimizer: the list of parameters", shown.str());
    return share(groups);
  }

  void check(const at::Tensor& parameter, const std::string& name) const {
    TORCH_CHECK(parameter.defined() && parameter.is_floating_point(),
                "ShardedOptimizer: parameter '", name, "' is not a floating-point tensor");
    TORCH_CHECK(parameter.is_non_overlapping_and_dense(), "ShardedOptimizer: parameter '", name,
                "' of shape ", parameter.sizes(), " and strides ", parameter.strides(),
                " has gaps in memory; make it contiguous");
    TORCH_CHECK(members_.empty() || members_.front().parameter.device() == parameter.device(),
                "ShardedOptimizer: parameter '", name, "' is on ", parameter.device(), ", but '",
                members_.front().name, "' is on ", members_.front().parameter.device(),
                "; all must be on one device");
  }

  std::vector<ParameterGroup> share(std::vector<ParameterGroup> groups) {
    std::vector<std::int64_t> sizes;
    for (const auto& member : members_) sizes.push_back(member.state_bytes);
    const auto owners = detail::partition(sizes, ranks_.size());
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(ranks_.size()), 0);
    for (std::size_t i = 0; i < members_.size(); ++i) {
      auto& length = lengths[static_cast<std::size_t>(owners[i])];
      members_[i].owner = owners[i];
      members_[i].begin = length;
      length += (members_[i].bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
    longest_ = *std::max_element(lengths.begin(), lengths.end());
    std::size_t next = 0;
    for (auto& group : groups) {
      const auto all = std::exchange(group.parameters, {});
      group.parameter_names.clear();
      for (const auto& parameter : all)
        if (const auto& member = members_[next++]; is_own(member)) {
          group.parameters.push_back(parameter);
          group.parameter_names.push_back(member.name);
        }
    }
    return groups;
  }

  /// Gathers the byte sequence of each rank's share in pieces, one at a time.
  void exchange_weights() const {
    const at::NoGradGuard no_grad;
    const auto limit = static_cast<std::int64_t>(sharding_.gather_megabytes * 1024 * 1024);
    const auto piece = std::max(kAlignment, limit / ranks_.size() / kAlignment * kAlignment);
    for (std::int64_t begin = 0; begin < longest_; begin += piece) {
      const auto length = std::min(piece, longest_ - begin);
      auto own = at::empty({length}, members_.front().parameter.options().dtype(at::kByte));
      copy_pieces(begin, length, own.unsqueeze(0), /*out=*/true);
      copy_pieces(begin, length, ranks_.all_gather(own), /*out=*/false);
    }
  }

  /// Copies between the weights and `bytes`: either this rank's own weights into the only row, or
  /// the rows of the other ranks into their weights.
  void copy_pieces(std::int64_t begin, std::int64_t length, const at::Tensor& bytes,
                   bool out) const {
    std::vector<at::Tensor> weights, rows;
    for (const auto& member : members_) {
      const auto first = std::max(begin, member.begin);
      const auto count = std::min(begin + length, member.begin + member.bytes) - first;
      if (count <= 0 || is_own(member) != out) continue;
      weights.push_back(detail::in_memory_order(member.parameter)
                            .view(at::kByte)
                            .narrow(0, first - member.begin, count));
      rows.push_back(bytes[out ? 0 : member.owner].narrow(0, first - begin, count));
    }
    if (weights.empty()) return;
    at::_foreach_copy_(out ? rows : weights, out ? weights : rows);
  }

  Ranks ranks_;
  ShardedOptimizerOptions sharding_;
  std::vector<Member> members_;
  std::int64_t longest_ = 0;  // Largest number of bytes that a rank sends.
  Optimizer<Rule> local_;
};

}  // namespace contrapunto
