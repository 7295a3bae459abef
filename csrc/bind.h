// What the bindings of every device share.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "args.h"

namespace acutance {

namespace py = pybind11;

inline void translate_errors() {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const ArgumentError& e) {
      PyErr_SetString(py::module_::import("acutance.errors").attr("UsageError").ptr(), e.what());
    }
  });
}

}  // namespace acutance
