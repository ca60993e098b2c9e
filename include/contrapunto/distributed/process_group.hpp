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
#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef CONTRAPUNTO_HAS_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "contrapunto/distributed/communicator.hpp"
#include "contrapunto/distributed/launch_environment.hpp"

namespace contrapunto {

struct ProcessGroupOptions {
  /// How long to wait for missing ranks, and for a rank that stopped answering.
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  /// Gloo only: host name or address of this machine that other ranks can reach; empty takes the
  /// machine's own name.
  std::string gloo_address = {};
  int gloo_threads = 2;  ///< Gloo only: threads that move data.
  int device = 0;        ///< NCCL only: CUDA device of this rank.
};

/// A communicator over a c10d process group. A handle: copies share the group. Operations return
/// when their result may be used: on the host with Gloo, in the order of the current CUDA stream
/// with NCCL. Tensors may have any strides; a group that failed once must not be used again.
class ProcessGroupCommunicator {
 public:
  explicit ProcessGroupCommunicator(c10::intrusive_ptr<c10d::Backend> backend)
      : backend_(std::move(backend)) {
    TORCH_CHECK(backend_.defined(), "ProcessGroupCommunicator: the process group is null");
  }

  [[nodiscard]] std::int64_t rank() const { return backend_->getRank(); }
  [[nodiscard]] std::int64_t size() const { return backend_->getSize(); }

  void all_reduce_sum_(at::Tensor& tensor) const {
    in_place(tensor, [&](std::vector<at::Tensor>& dense) { return backend_->allreduce(dense); });
  }

  /// [W, ...], row r from rank r, without history.
  [[nodiscard]] at::Tensor all_gather(const at::Tensor& tensor) const {
    const at::NoGradGuard no_grad;
    auto input = tensor.detach().contiguous().view(-1);  // Gloo insists on [W * N, ...] else
    auto gathered = at::empty({size() * input.numel()}, input.options());
    if (input.numel() > 0) backend_->_allgather_base(gathered, input)->wait();
    std::vector<std::int64_t> shape{size()};
    shape.insert(shape.end(), tensor.sizes().begin(), tensor.sizes().end());
    return gathered.view(shape);
  }

  void broadcast_(at::Tensor& tensor, std::int64_t root) const {
    TORCH_CHECK(root >= 0 && root < size(), "broadcast_: root is ", root, ", but there are ",
                size(), " ranks");
    c10d::BroadcastOptions options;
    options.rootRank = root;
    in_place(tensor, [&](std::vector<at::Tensor>& d) { return backend_->broadcast(d, options); });
  }

  void barrier() const { backend_->barrier()->wait(); }

  /// The group itself, for c10d operations that have no method here.
  [[nodiscard]] const c10::intrusive_ptr<c10d::Backend>& backend() const { return backend_; }

 private:
  // Backends want contiguous memory, and the same strides on every rank.
  template <class Operation>
  void in_place(at::Tensor& tensor, const Operation& operation) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> dense{tensor.detach().contiguous()};
    operation(dense)->wait();
    if (!tensor.is_contiguous()) tensor.copy_(dense.front());
  }

  c10::intrusive_ptr<c10d::Backend> backend_;
};

static_assert(Communicator<ProcessGroupCommunicator>);

/// Store over TCP where the launcher said; rank 0 listens unless the launcher already does. Keys
/// are apart from those of earlier restarts. Raises within `timeout` when nobody listens.
inline c10::intrusive_ptr<c10d::Store> open_tcp_store(const LaunchEnvironment& launch,
                                                      std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(launch.master_port);
  options.isServer = launch.rank == 0 && !launch.launcher_hosts_store;
  options.waitWorkers = false;  // connect_* counts the ranks itself and can say which are missing
  options.timeout = timeout;
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
  return c10::make_intrusive<c10d::PrefixStore>("restart/" + std::to_string(launch.restart), store);
}

/// Store in a file that all ranks see and that did not exist before: no network, one machine.
inline c10::intrusive_ptr<c10d::Store> open_file_store(const std::string& path, std::int64_t size) {
  return c10::make_intrusive<c10d::FileStore>(path, static_cast<int>(size));
}

namespace detail {

/// Returns when all `size` ranks are at `store`; raises after `timeout`, saying who is missing.
inline void wait_for_ranks(c10d::Store& store, std::int64_t rank, std::int64_t size,
                           std::chrono::milliseconds timeout) {
  TORCH_CHECK(rank >= 0 && rank < size, "process group: rank ", rank, " of ", size,
              " ranks; ranks count from 0");
  const auto key = [](std::int64_t r) { return "arrived/" + std::to_string(r); };
  TORCH_CHECK(store.add(key(rank), 1) == 1, "process group: rank ", rank,
              " is already there: two processes have the same rank, or the store is left over from "
              "an earlier run");
  std::vector<std::string> keys;
  for (std::int64_t r = 0; r < size; ++r) keys.push_back(key(r));
  try {
    store.wait(keys, timeout);
  } catch (const c10::Error& error) {
    std::int64_t arrived = 0;
    std::string missing;
    for (std::int64_t r = 0; r < size; ++r) {
      if (store.check({keys[static_cast<std::size_t>(r)]}))
        ++arrived;
      else
        missing += (missing.empty() ? "" : ", ") + std::to_string(r);
    }
    TORCH_CHECK(arrived == size, "process group: only ", arrived, " of ", size,
                " ranks arrived within ", timeout.count(), " ms; missing: ", missing,
                ". Start all ranks, or lower the size; ", error.what_without_backtrace());
  }
}

}  // namespace detail

/// Joins `size` ranks over Gloo (CPU tensors). Collective: returns when all ranks are connected,
/// raises after the timeout and then names the missing ranks. A store serves one group; give each
/// further one a c10d::PrefixStore of its own.
inline ProcessGroupCommunicator connect_gloo(const c10::intrusive_ptr<c10d::Store>& store,
                                             std::int64_t rank, std::int64_t size,
                                             const ProcessGroupOptions& options = {}) {
  detail::wait_for_ranks(*store, rank, size, options.timeout);
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
/// Joins `size` ranks over NCCL (CUDA tensors), rank r on its CUDA device `options.device`.
/// Collective like connect_gloo. Needs contrapunto::cuda. Set the current device before.
inline ProcessGroupCommunicator connect_nccl(const c10::intrusive_ptr<c10d::Store>& store,
                                             std::int64_t rank, std::int64_t size,
                                             const ProcessGroupOptions& options = {}) {
  detail::wait_for_ranks(*store, rank, size, options.timeout);
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = options.timeout;
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::make_intrusive<c10d::PrefixStore>("nccl", store), static_cast<int>(rank),
      static_cast<int>(size), nccl);
  group->setBoundDeviceId(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(options.device)));
  return ProcessGroupCommunicator(std::move(group));
}
#endif

}  // namespace contrapunto
