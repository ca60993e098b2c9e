# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Conan recipe of the headers. Dependencies are packages of the system, and LibTorch is named by a path; docs/guides/install.md
describes its use."""
import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout
from conan.tools.system.package_manager import Apt

# Debian packages of the library and of each component.
PACKAGES = {
    "library": ["nlohmann-json3-dev"],
    "image": ["libjpeg62-turbo-dev", "libpng-dev", "libwebp-dev"],
    "text": ["libutf8proc-dev", "zlib1g-dev"],
    "distributed": ["libgloo-dev"],
    "cli": ["libcli11-dev"],
    "export": ["libprotozero-dev"],
}
COMPONENTS = [name for name in PACKAGES if name != "library"]
TORCH = "user.contrapunto:torch"


class ContrapuntoRecipe(ConanFile):
    name = "contrapunto"
    description = "Contrastive training on LibTorch, header-only C++20"
    license = "Apache-2.0"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {component: [True, False] for component in COMPONENTS}
    default_options = {component: component in ("image", "text") for component in COMPONENTS}

    @property
    def _checkout(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def set_version(self):
        header = load(self, os.path.join(self._checkout, "include", "contrapunto", "version.hpp"))
        self.version = re.search(r'kVersion = "([^"]+)"', header)[1]

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "THIRD_PARTY.md", "cmake/*", "include/*", "packaging/sbom.cdx.json",
                        "packaging/debian/*"):
            copy(self, pattern, src=self._checkout, dst=self.export_sources_folder)

    def layout(self):
        basic_layout(self)

    def system_requirements(self):
        wanted = ["library", *(component for component in COMPONENTS if self.options.get_safe(component))]
        Apt(self).install([package for name in wanted for package in PACKAGES[name]])

    def package_id(self):
        self.info.clear()  # the options decide only which packages of the system are asked for

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["CONTRAPUNTO_PACKAGE_ONLY"] = True
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        CMake(self).install(component="headers")

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        # Consumers use the CMake package that is installed, because only it can find LibTorch.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("share", "cmake", "Contrapunto")]
        torch = self.conf.get(TORCH, check_type=str)
        if torch:
            self.buildenv_info.define_path("Torch_ROOT", torch)
