// The kernels of the program by name, as a module's functions are to the driver.
#pragma once
#include <stddef.h>
#include <type_traits>
#include <utility>
#include <vector>

namespace elm::emulation {

/// A parameter of a kernel, from its C++ type.
struct Parameter {
  size_t bytes;
  bool pointer;
  /// Whether the kernel may write through it.
  bool writable;
  /// A structure by value; its words may be pointers.
  bool structure;
};

/// A kernel: `call` runs it for one thread with pointers to its arguments, as cuLaunchKernel takes them.
struct Kernel {
  const char* name;
  void (*call)(void** arguments);
  const Parameter* parameters;
  int parameter_count;
};

/// The kernel of a name, or null.
const Kernel* find_kernel(const char* name);

/// All of them, by name.
std::vector<Kernel> all_kernels();

/// Adds a kernel before main starts.
struct Registration {
  Registration(const Kernel& kernel);
};

template <auto F> struct Signature;
template <class... A, void (*F)(A...)> struct Signature<F> {
  template <class T> static constexpr Parameter parameter() {
    return {sizeof(T), std::is_pointer_v<T>, std::is_pointer_v<T> && !std::is_const_v<std::remove_pointer_t<T>>, std::is_class_v<T>};
  }
  static constexpr int count = sizeof...(A);
  static constexpr Parameter parameters[count + 1] = {parameter<std::remove_cv_t<A>>()..., {}};
  template <size_t... I> static void apply(void** arguments, std::index_sequence<I...>) { F(*(std::remove_cv_t<A>*)arguments[I]...); }
  static void call(void** arguments) { apply(arguments, std::index_sequence_for<A...>{}); }
};

#define ELM_KERNEL(name)                                                                                    \
  static const ::elm::emulation::Registration elm_registration_##name({#name, &::elm::emulation::Signature<&name>::call, \
      ::elm::emulation::Signature<&name>::parameters, ::elm::emulation::Signature<&name>::count});

}  // namespace elm::emulation
