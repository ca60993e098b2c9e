// SPDX-FileCopyrightText: 2026 The Contrapunto Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "contrapunto/core/data_error.hpp"
#include "contrapunto/io/detail/torch_pickle.hpp"
#include "contrapunto/io/detail/zip.hpp"

namespace contrapunto::detail {

/// The tensors of a file that torch.save wrote, and the parts of the file with their elements.
struct TorchArchive {
  std::string pickle;  ///< The entries of `tensors` refer to it.
  std::map<std::string, TorchTensorEntry> tensors;
  std::map<std::string, ZipEntry> parts;  ///< By the name of the storage; inside the file.
  std::string folder;                     ///< With which the names of all parts begin.
};

/// Reads everything but the elements of the tensors, which are known to exist. Raises DataError.
inline std::unique_ptr<TorchArchive> read_torch_archive(const ByteSource& file) {
  if (file.size < 4 || file.bytes(0, 4) != "PK\x03\x04")
    throw DataError(
        "is not in the format of torch.save since PyTorch 1.6; load it in Python and save its "
        "state_dict() with a newer PyTorch");
  const auto entries = list_zip(file);
  auto archive = std::make_unique<TorchArchive>();
  const std::string pickle_name = "data.pkl";
  const auto pickle = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
    return entry.first.find('/') + 1 + pickle_name.size() == entry.first.size() &&
           entry.first.ends_with("/" + pickle_name);
  });
  if (pickle == entries.end()) throw DataError("has no data.pkl, so torch.save did not write it");
  archive->folder = pickle->first.substr(0, pickle->first.size() - pickle_name.size());
  const auto code = entries.lower_bound(archive->folder + "code/");
  if (entries.contains(archive->folder + "constants.pkl") ||
      (code != entries.end() && code->first.starts_with(archive->folder + "code/")))
    throw DataError(
        "is a TorchScript program, as are OpenAI's CLIP files, and not a state dict; convert it in "
        "Python: torch.save(torch.jit.load(path, map_location='cpu').state_dict(), 'weights.pt')");
  if (const auto order = entries.find(archive->folder + "byteorder");
      order != entries.end() && read_zip(file, order->first, order->second) != "little")
    throw DataError("was written on a machine with another byte order");
  archive->pickle = read_zip(file, pickle->first, pickle->second);
  archive->tensors = TorchPickle(archive->pickle).state();
  for (const auto& [name, tensor] : archive->tensors) {
    const auto storage = std::string(tensor.storage);
    const auto part = entries.find(archive->folder + "data/" + storage);
    if (part == entries.end())
      throw DataError("tensor '" + name + "': the part data/" + storage + " is missing");
    if (tensor.storage_elements > part->second.size / tensor.element_bytes)
      throw DataError("tensor '" + name + "': the part data/" + storage + " has " +
                      std::to_string(part->second.size) + " bytes, too few for " +
                      std::to_string(tensor.storage_elements) + " elements of " +
                      std::to_string(tensor.element_bytes));
    if (archive->parts.emplace(storage, part->second).second)
      static_cast<void>(zip_content(file, part->first, part->second));  // Raises if unreadable.
  }
  return archive;
}

}  // namespace contrapunto::detail
