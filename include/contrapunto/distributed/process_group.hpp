// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifndef CONTRAPUNTO_HAS_DISTRIBUTED
#error \
    "Contrapunto: process groups need the component `distributed` (Gloo): use \
find_package(Contrapunto COMPONENTS distributed) and link contrapunto::distributed"
#endif

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef CONTRAPUNTO_HAS_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "contrapunto/distributed/communicator.hpp"
#include "contrapunto/distributed/launch_environment.hpp"
#include "contrapunto/distributed/pending_tensor.hpp"

namespace contrapunto {

struct ProcessGroupOptions {
  /// Time that a collective may take before it raises.
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  /// Time to wait for all ranks to arrive.
  std::chrono::milliseconds arrival_timeout = std::chrono::seconds(60);
  /// Gloo only: a host name or address of this machine that other ranks can reach. If empty, the
  /// name of the machine is used.
  std::string gloo_address = {};
  int gloo_threads = 2;  ///< Gloo only: number of threads that transfer data.
  int device = 0;        ///< NCCL only: index of the CUDA device of this rank.
};

/// A communicator over a c10d process group. It is a handle: copies share the group. An operation
/// returns when its result may be used: on the host with Gloo, and in the order of the current CUDA
/// stream with NCCL. Tensors may have any strides. Do not use a group again after an operation has
/// failed.
class ProcessGroupCommunicator {
 public:
  /// Raises if `backend` is null.
  explicit ProcessGroupCommunicator(c10::intrusive_ptr<c10d::Backend> backend)
      : backend_(std::move(backend)) {
    TORCH_CHECK(backend_.defined(), "ProcessGroupCommunicator: the process group is null");
  }

  [[nodiscard]] std::int64_t rank() const { return backend_->getRank(); }
  [[nodiscard]] std::int64_t size() const { return backend_->getSize(); }

  [[nodiscard]] c10::Device device() const {
    return backend_->getBoundDeviceId().value_or(c10::Device(c10::kCPU));
  }

  void all_reduce_sum_(at::Tensor& tensor) const { all_reduce_sum_async(tensor).wait(); }

  [[nodiscard]] PendingTensor all_reduce_sum_async(at::Tensor& tensor) const {
    return in_place(tensor, [&](std::vector<at::Tensor>& d) { return backend_->allreduce(d); });
  }

  /// Returns [W, ...], detached; row r comes from rank r.
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    const at::NoGradGuard no_grad;
    auto input = tensor.detach().contiguous().view(-1);  // Otherwise Gloo requires [W * N, ...].
    auto gathered = at::empty({size() * input.numel()}, input.options());
    if (input.numel() > 0) backend_->_allgather_base(gathered, input)->wait();
    std::vector<std::int64_t> shape{size()};
    shape.insert(shape.end(), tensor.sizes().begin(), tensor.sizes().end());
    return gathered.view(shape);
  }

  /// Returns row rank() of the sum of `tensor` [W, ...] over the ranks. Gloo has no such operation,
  /// so it reduces the whole tensor and takes one row.
  [[nodiscard]] at::Tensor reduce_scatter_sum(const at::Tensor& tensor) const {
    TORCH_CHECK(tensor.dim() >= 1 && tensor.size(0) == size(), "reduce_scatter_sum: the shape is ",
                tensor.sizes(), ", but there are ", size(), " ranks; expected [", size(), ", ...]");
    const at::NoGradGuard no_grad;
    auto input = tensor.detach().contiguous().view(-1);
    auto row = at::empty({input.numel() / size()}, input.options());
    if (input.numel() > 0) backend_->_reduce_scatter_base(row, input)->wait();
    return row.view(tensor.sizes().slice(1));
  }

  [[nodiscard]] PendingTensor ring_shift(const at::Tensor& tensor, std::int64_t by) const {
    const at::NoGradGuard no_grad;
    const auto ring = [&](std::int64_t r) {
      return static_cast<std::size_t>((r % size() + size()) % size());
    };
    if (ring(by) == 0 || tensor.numel() == 0) return PendingTensor(tensor.detach());
    auto input = tensor.detach().contiguous().view(-1);
    auto received = at::empty_like(input);
    // A single collective is used instead of a send and a receive, because it cannot be ordered so
    // that two ranks wait for each other. NCCL sends the empty parts at no cost.
    std::vector<std::int64_t> from(static_cast<std::size_t>(size()), 0);
    std::vector<std::int64_t> to = from;
    from[ring(rank() + by)] = input.numel();
    to[ring(rank() - by)] = input.numel();
    auto work = backend_->alltoall_base(received, input, from, to);
    return PendingTensor([work = std::move(work), input, result = received.view(tensor.sizes())] {
      work->wait();
      return result;
    });
  }

  void broadcast_(at::Tensor& tensor, std::int64_t root) const {
    TORCH_CHECK(root >= 0 && root < size(), "broadcast_: root is ", root, ", but there are ",
                size(), " ranks");
    c10d::BroadcastOptions options;
    options.rootRank = root;
    in_place(tensor, [&](std::vector<at::Tensor>& d) {
      return backend_->broadcast(d, options);
    }).wait();
  }

  void barrier() const { backend_->barrier()->wait(); }

  /// Returns the underlying group, for c10d operations that have no method here.
  [[nodiscard]] const c10::intrusive_ptr<c10d::Backend>& backend() const { return backend_; }

 private:
  // Backends require contiguous memory and the same strides on every rank.
  template <class Operation>
  PendingTensor in_place(at::Tensor& tensor, const Operation& operation) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> dense{tensor.detach().contiguous()};
    auto work = operation(dense);
    return PendingTensor([work = std::move(work), dense = dense.front(), tensor] {
      const at::NoGradGuard finish_no_grad;
      work->wait();
      if (!tensor.is_contiguous()) tensor.copy_(dense);
      return tensor;
    });
  }

  c10::intrusive_ptr<c10d::Backend> backend_;
};

static_assert(Communicator<ProcessGroupCommunicator>);

/// Opens a TCP store at the address that the launcher gave. Rank 0 listens unless the launcher
/// already does. The keys are separate from those of earlier restarts. Raises within `timeout` if
/// the store cannot be reached.
inline c10::intrusive_ptr<c10d::Store> open_tcp_store(const LaunchEnvironment& launch,
                                                      std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.master_port);
  options.isServer = launch.rank == 0 && !launch.launcher_hosts_store;
  options.waitWorkers = false;    // connect_* names the missing ranks itself.
  options.timeout = timeout / 2;  // TCPStore tries twice.
  c10::intrusive_ptr<c10d::Store> store;
  try {
    store = c10::make_intrusive<c10d::TCPStore>(launch.master_address, options);
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, "rank ", launch.rank, " of ", launch.size,
                options.isServer ? " could not listen on " : " could not reach rank 0 at ",
                launch.master_address, ":", launch.master_port, " within ", timeout.count(),
                options.isServer ? " ms; is the port taken by another run? "
                                 : " ms; is rank 0 running, and is the address right? ",
                error.what_without_backtrace());
  }
  store->setTimeout(timeout);
  return c10::make_intrusive<c10d::PrefixStore>("restart/" + std::to_string(launch.restart), store);
}

/// Opens a store in a file that all ranks can access and that must not exist yet. It needs no
/// network and works on one machine only.
inline c10::intrusive_ptr<c10d::Store> open_file_store(const std::string& path, std::int64_t size) {
  return c10::make_intrusive<c10d::FileStore>(path, static_cast<int>(size));
}

namespace detail {

/// Returns when all `size` ranks have arrived at `store`. Raises after `timeout` and names the
/// missing ranks. All waiting ranks raise the message of the rank that timed out first.
inline void wait_for_ranks(c10d::Store& store, std::int64_t rank, std::int64_t size,
                           std::chrono::milliseconds timeout) {
  TORCH_CHECK(rank >= 0 && rank < size, "process group: rank ", rank, " of ", size,
              " ranks; ranks count from 0");
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto key = [](std::int64_t r) { return "arrived/" + std::to_string(r); };
  TORCH_CHECK(
      store.add(key(rank), 1) == 1, "process group: rank ", rank,
      " has already joined: two processes have the same rank, or the store is left over from "
      "an earlier run");
  std::vector<std::string> keys;
  for (std::int64_t r = 0; r < size; ++r) keys.push_back(key(r));
  constexpr auto kLongestPause = std::chrono::milliseconds(100);
  auto pause = std::chrono::milliseconds(2);
  while (!store.check(keys)) {
    if (store.check({"gave up"})) TORCH_CHECK(false, store.get_to_str("gave up"));
    if (std::chrono::steady_clock::now() >= deadline) {
      std::int64_t arrived = 0;
      std::string missing;
      for (std::int64_t r = 0; r < size; ++r) {
        if (store.check({key(r)}))
          ++arrived;
        else
          missing += (missing.empty() ? "" : ", ") + std::to_string(r);
      }
      if (arrived == size) return;
      const auto message = store.compareSet(
          "gave up", "",
          "process group: only " + std::to_string(arrived) + " of " + std::to_string(size) +
              " ranks arrived within " + std::to_string(timeout.count()) +
              " ms; missing: " + missing +
              ". A missing rank was not started, ended early (see its output) or has another "
              "address, port or number of ranks");
      // The store may end with rank 0, so the other ranks get time to read the message.
      if (rank == 0 && arrived > 1) std::this_thread::sleep_for(5 * kLongestPause);
      TORCH_CHECK(false, message);
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace detail

/// Joins `size` ranks over Gloo (CPU tensors). Collective: returns when all ranks are connected.
/// Raises after `arrival_timeout` and then names the missing ranks. A store serves one group; give
/// each further group its own c10d::PrefixStore.
inline ProcessGroupCommunicator connect_gloo(const c10::intrusive_ptr<c10d::Store>& store,
                                             std::int64_t rank, std::int64_t size,
                                             const ProcessGroupOptions& options = {}) {
  detail::wait_for_ranks(*store, rank, size, options.arrival_timeout);
  auto gloo = c10d::ProcessGroupGloo::Options::create(options.timeout);
  gloo->threads = options.gloo_threads;
  gloo->devices.push_back(
      options.gloo_address.empty()
          ? c10d::ProcessGroupGloo::createDefaultDevice(/*lazyInit=*/false)
          : c10d::ProcessGroupGloo::createDeviceForHostname(options.gloo_address, false));
  return ProcessGroupCommunicator(c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", store), static_cast<int>(rank),
      static_cast<int>(size), gloo));
}

#ifdef CONTRAPUNTO_HAS_NCCL
/// Joins `size` ranks over NCCL (CUDA tensors), with this rank on CUDA device `options.device`.
/// Collective, like connect_gloo. It needs contrapunto::cuda. Set the current device first.
inline ProcessGroupCommunicator connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                             std::int64_t rank, std::int64_t size,
                                             const ProcessGroupOptions& options = {}) {
  detail::wait_for_ranks(*store, rank, size, options.arrival_timeout);
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::make_intrusive<c10d::PrefixStore>("nccl", store), static_cast<int>(rank),
      static_cast<int>(size), nccl);
  group->setBoundDeviceId(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(options.device)));
  return ProcessGroupCommunicator(std::move(group));
}
#endif

/// Joins the ranks of `launch` for tensors on `device`: over NCCL for a CUDA device, which should
/// be the current one, and over Gloo for the CPU. `store` comes from `open_tcp_store`. Raises for a
/// CUDA device in a build without NCCL.
inline ProcessGroupCommunicator connect_ranks(const c10::intrusive_ptr<c10d::Store>& store,
                                              const LaunchEnvironment& launch, c10::Device device,
                                              ProcessGroupOptions options = {}) {
  if (device.is_cpu()) {
    // On a single machine the host name need not resolve.
    if (options.gloo_address.empty() && launch.local_size == launch.size)
      options.gloo_address = "127.0.0.1";
    return connect_gloo(store, launch.rank, launch.size, options);
  }
#ifdef CONTRAPUNTO_HAS_NCCL
  options.device = device.has_index() ? device.index() : static_cast<int>(launch.local_rank);
  return connect_nccl(store, launch.rank, launch.size, options);
#else
  TORCH_CHECK(false, "ranks on ", device,
              " need NCCL, which this program was built without: link "
              "contrapunto::cuda and contrapunto::distributed, or train on the CPU");
#endif
}

}  // namespace contrapunto
