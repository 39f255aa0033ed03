// Package tracing tells a tracing system what the server does with each request,
// where one is configured by the variables of OpenTelemetry, and costs nothing
// where none is.
package tracing

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"licet/internal/web"
)

// stopGrace is how long the last spans may take to leave when the server stops.
const stopGrace = 5 * time.Second

// Configured reports whether the surroundings name a tracing system.
func Configured() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Start sends spans to where the variables of OpenTelemetry say, over HTTP, until
// stop is called. A tracing system that does not answer is logged and changes
// nothing else.
func Start(ctx context.Context, version string, log *slog.Logger) (stop func(), err error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("licet-central"), semconv.ServiceVersion(version)),
		resource.WithFromEnv(), resource.WithProcessPID(), resource.WithHost())
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "fault", err) }))
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last spans were not sent", "fault", err)
		}
	}, nil
}

// Handler makes a span of each request. Answered gives it its name.
func Handler(next http.Handler) http.Handler {
	tracer := otel.Tracer("licet/http")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, "request", oteltrace.WithSpanKind(oteltrace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Answered completes the span of a request: it is named after its route, never
// its path, because people put secrets into paths. (The usual handler of
// OpenTelemetry sends path, address and browser of everybody.)
func Answered(ctx context.Context, a web.Answered) {
	span := oteltrace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if a.Route != "" {
		span.SetName(a.Route)
	}
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(a.Method), semconv.HTTPRoute(a.Route),
		semconv.HTTPResponseStatusCode(a.Status), attribute.String("licet.request", a.ID))
	if a.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}
