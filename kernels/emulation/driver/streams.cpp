// Streams, events, captures and graphs.
#include <stdio.h>

#include "driver.h"

using namespace elm::driver;

namespace elm::driver {

bool Driver::any_capture() const {
  for (const auto& [handle, stream] : streams)
    if (stream->capture)
      return true;
  return false;
}

void Driver::invalidate_captures() {
  for (const auto& [handle, stream] : streams)
    if (stream->capture)
      stream->capture->invalid = true;
}

bool Driver::forbidden_by_capture() {
  bool forbidden = false;
  for (const auto& [handle, stream] : streams)
    if (Capture* capture = stream->capture.get())
      if (capture->mode == CaptureMode::Global || (capture->mode == CaptureMode::ThreadLocal && capture->thread == std::this_thread::get_id()))
        forbidden = capture->invalid = true;
  return forbidden;
}

CUresult Driver::submit(CUstream_st* stream, Work work) {
  // 0, 1 and 2: the legacy stream, twice, and that of the thread.
  if (reinterpret_cast<uintptr_t>(stream) <= 2) {
    if (any_capture()) {
      invalidate_captures();
      return CaptureImplicit;
    }
  } else if (!streams.has(stream))
    return InvalidHandle;
  else if (stream->capture) {
    if (stream->capture->invalid)
      return CaptureInvalidated;
    stream->capture->work.push_back(std::move(work));
    return Success;
  }
  constexpr size_t kLongest = 4096;
  if (queue.size() >= kLongest)
    if (const CUresult status = finish())
      return status;
  queue.push_back(std::move(work));
  return Success;
}

CUresult Driver::finish() {
  performing = true;
  while (!queue.empty() && broken == Success) {
    const Work work = std::move(queue.front());
    queue.pop_front();
    broken = work();
  }
  queue.clear();
  performing = false;
  // At such a moment a pool gives back what it holds beyond its threshold.
  pool_reserved = std::min(pool_reserved, std::max(pool_used, pool_threshold));
  return broken;
}

}  // namespace elm::driver

ELM_DRIVER_API cuStreamCreate(CUstream_st** stream, unsigned flags) {
  ELM_CALL();
  if (flags > 1)
    return InvalidValue;
  if (driver->forbidden_by_capture())
    return CaptureUnsupported;
  auto made = std::make_unique<CUstream_st>();
  made->blocking = flags == 0;
  *stream = driver->streams.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuStreamCreateWithPriority(CUstream_st** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

ELM_DRIVER_API cuStreamDestroy_v2(CUstream_st* stream) {
  ELM_CALL();
  if (!driver->streams.has(stream))
    return InvalidHandle;
  const CUresult status = driver->finish();
  driver->streams.remove(stream);
  return status;
}

ELM_DRIVER_API cuStreamSynchronize(CUstream_st* stream) {
  ELM_CALL();
  if (reinterpret_cast<uintptr_t>(stream) > 2 && !driver->streams.has(stream))
    return InvalidHandle;
  if (reinterpret_cast<uintptr_t>(stream) > 2 && stream->capture) {
    stream->capture->invalid = true;
    return CaptureUnsupported;
  }
  if (reinterpret_cast<uintptr_t>(stream) <= 2 && driver->any_capture()) {
    driver->invalidate_captures();
    return CaptureImplicit;
  }
  return driver->finish();
}

ELM_DRIVER_API cuStreamQuery(CUstream_st* stream) { return cuStreamSynchronize(stream); }

ELM_DRIVER_API cuStreamBeginCapture_v2(CUstream_st* stream, int mode) {
  ELM_CALL();
  if (mode < 0 || mode > 2)
    return InvalidValue;
  if (reinterpret_cast<uintptr_t>(stream) <= 2)
    return CaptureUnsupported;
  if (!driver->streams.has(stream))
    return InvalidHandle;
  if (stream->capture)
    return IllegalState;
  stream->capture = std::make_unique<Capture>();
  stream->capture->mode = static_cast<CaptureMode>(mode);
  stream->capture->thread = std::this_thread::get_id();
  return Success;
}

ELM_DRIVER_API cuStreamEndCapture(CUstream_st* stream, CUgraph_st** graph) {
  ELM_CALL();
  *graph = nullptr;
  if (reinterpret_cast<uintptr_t>(stream) <= 2 || !driver->streams.has(stream))
    return InvalidHandle;
  if (!stream->capture)
    return IllegalState;
  if (stream->capture->mode != CaptureMode::Relaxed && stream->capture->thread != std::this_thread::get_id())
    return CaptureWrongThread;
  const std::unique_ptr<Capture> capture = std::move(stream->capture);
  if (capture->invalid)
    return CaptureInvalidated;
  auto made = std::make_unique<CUgraph_st>();
  made->work = std::make_shared<const std::vector<Work>>(std::move(capture->work));
  *graph = driver->graphs.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuStreamIsCapturing(CUstream_st* stream, int* status) {
  ELM_CALL();
  if (reinterpret_cast<uintptr_t>(stream) <= 2)
    return driver->any_capture() ? CaptureImplicit : (*status = 0, Success);
  if (!driver->streams.has(stream))
    return InvalidHandle;
  *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
  return Success;
}

ELM_DRIVER_API cuGraphInstantiateWithFlags(CUgraph_st** executable, CUgraph_st* graph, unsigned long long) {
  ELM_CALL();
  if (!driver->graphs.has(graph) || graph->executable)
    return InvalidValue;
  auto made = std::make_unique<CUgraph_st>();
  made->executable = true;
  made->work = graph->work;
  *executable = driver->graphs.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuGraphUpload(CUgraph_st* executable, CUstream_st* stream) {
  ELM_CALL();
  if (!driver->graphs.has(executable) || !executable->executable)
    return InvalidValue;
  return reinterpret_cast<uintptr_t>(stream) <= 2 || driver->streams.has(stream) ? Success : InvalidHandle;
}

ELM_DRIVER_API cuGraphLaunch(CUgraph_st* executable, CUstream_st* stream) {
  ELM_CALL();
  if (!driver->graphs.has(executable) || !executable->executable)
    return InvalidValue;
  return driver->submit(stream, [work = executable->work]() -> CUresult {
    for (const Work& one : *work)
      if (const CUresult status = one())
        return status;
    return Success;
  });
}

ELM_DRIVER_API cuGraphGetNodes(CUgraph_st* graph, void** nodes, size_t* count) {
  ELM_CALL();
  if (!driver->graphs.has(graph) || graph->executable)
    return InvalidValue;
  if (nodes)
    return NotSupported;
  *count = graph->work->size();
  return Success;
}

ELM_DRIVER_API cuGraphDestroy(CUgraph_st* graph) {
  ELM_CALL();
  return driver->graphs.has(graph) && !graph->executable && driver->graphs.remove(graph) ? Success : InvalidValue;
}

ELM_DRIVER_API cuGraphExecDestroy(CUgraph_st* executable) {
  ELM_CALL();
  return driver->graphs.has(executable) && executable->executable && driver->graphs.remove(executable) ? Success : InvalidValue;
}

ELM_DRIVER_API cuEventCreate(Event** event, unsigned flags) {
  ELM_CALL();
  if (flags > 7)
    return InvalidValue;
  auto made = std::make_unique<Event>();
  constexpr unsigned kDisableTiming = 2;
  made->timed = !(flags & kDisableTiming);
  *event = driver->events.add(std::move(made));
  return Success;
}

ELM_DRIVER_API cuEventDestroy_v2(Event* event) {
  ELM_CALL();
  return driver->events.remove(event) ? Success : InvalidHandle;
}

ELM_DRIVER_API cuEventRecord(Event* event, CUstream_st* stream) {
  ELM_CALL();
  if (!driver->events.has(event))
    return InvalidHandle;
  event->captured = driver->streams.has(stream) && stream->capture;
  event->recorded = true;
  event->done.reset();
  return driver->submit(stream, [event, recording = ++event->recordings] {
    if (Driver::instance().events.has(event) && event->recordings == recording)
      event->done = std::chrono::steady_clock::now();
    return Success;
  });
}

ELM_DRIVER_API cuEventSynchronize(Event* event) {
  ELM_CALL();
  if (!driver->events.has(event))
    return InvalidHandle;
  if (event->captured)
    return CapturedEvent;
  return event->recorded && !event->done ? driver->finish() : Success;
}

ELM_DRIVER_API cuEventQuery(Event* event) { return cuEventSynchronize(event); }

ELM_DRIVER_API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  ELM_CALL();
  if (!driver->events.has(start) || !driver->events.has(end) || !start->recorded || !end->recorded || !start->timed || !end->timed)
    return InvalidHandle;
  if (start->captured || end->captured)
    return CapturedEvent;
  if (!start->done || !end->done)
    return NotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(*end->done - *start->done).count();
  return Success;
}

ELM_DRIVER_API cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) { return cuEventElapsedTime(milliseconds, start, end); }

ELM_DRIVER_API cuStreamWaitEvent(CUstream_st* stream, Event* event, unsigned) {
  ELM_CALL();
  if (!driver->events.has(event) || (reinterpret_cast<uintptr_t>(stream) > 2 && !driver->streams.has(stream)))
    return InvalidHandle;
  // All streams run in one order, so the event has come. A capture across streams is not among what the stand-in knows.
  const bool captures = driver->streams.has(stream) && stream->capture;
  return captures == event->captured ? Success : NotSupported;
}
