import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.UUID;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * OmniLab from Java 17 without a library: one token for all threads, kept until 80 % of its life, renewed once after
 * a 401. Answers are JSON texts, for the parser that your project has.
 */
public final class OmniLab {
    private static final int ATTEMPTS = 3;
    private static final int LONGEST_WAIT_SECONDS = 30;

    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();
    private String token;
    private long renewAtNanos;

    public String listBookings(String externalId) throws IOException, InterruptedException {
        String query = form(Map.of("external_id", externalId));
        return call(() -> request("/v1/interactions:fetchContactBookings?" + query));
    }

    public String cancelBooking(String externalId, String bookingId) throws IOException, InterruptedException {
        String key = UUID.randomUUID().toString(); // what makes it safe to send the call again
        String body = "{\"external_id\":" + quoted(externalId) + ",\"booking_id\":" + quoted(bookingId) + "}";
        return call(() -> request("/v1/interactions:cancelContactBooking")
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", key)
                .POST(BodyPublishers.ofString(body)));
    }

    private String call(Supplier<HttpRequest.Builder> request) throws IOException, InterruptedException {
        String current = token(null);
        HttpResponse<String> answer = send(request.get().header("Authorization", "Bearer " + current));
        if (answer.statusCode() == 401) { // one retry with a new token, never two
            answer = send(request.get().header("Authorization", "Bearer " + token(current)));
        }
        return bodyOf(answer);
    }

    /** The first thread in asks for a token, the others find what it brought. */
    private synchronized String token(String refused) throws IOException, InterruptedException {
        if (token == null || token.equals(refused) || System.nanoTime() - renewAtNanos >= 0) {
            String body = form(Map.of(
                    "grant_type", "client_credentials",
                    "client_id", System.getenv("OMNILAB_CLIENT_ID"),
                    "client_secret", System.getenv("OMNILAB_CLIENT_SECRET"),
                    "audience", System.getenv("OMNILAB_AUDIENCE")));
            long asked = System.nanoTime();
            String answer = bodyOf(send(request("/v1/oauth:token")
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .POST(BodyPublishers.ofString(body))));
            long lifeSeconds = Long.parseLong(member(answer, "expires_in"));
            renewAtNanos = asked + Duration.ofSeconds(lifeSeconds).toNanos() / 10 * 8;
            token = member(answer, "access_token");
        }
        return token;
    }

    private HttpResponse<String> send(HttpRequest.Builder request) throws IOException, InterruptedException {
        for (int attempt = 1; ; attempt++) {
            HttpResponse<String> answer = http.send(request.build(), BodyHandlers.ofString());
            long wait = answer.headers().firstValueAsLong("Retry-After").orElse(1);
            boolean transientRefusal = answer.statusCode() == 429 || answer.statusCode() == 503;
            if (!transientRefusal || wait > LONGEST_WAIT_SECONDS || attempt == ATTEMPTS) {
                return answer;
            }
            Thread.sleep(wait * 1000);
        }
    }

    private static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(System.getenv("OMNILAB_BASE_URL") + path))
                .timeout(Duration.ofSeconds(10));
    }

    /** The text of an error is safe to log: no token, no secret, no address with a contact's id. */
    private static String bodyOf(HttpResponse<String> answer) throws IOException {
        if (answer.statusCode() < 300) {
            return answer.body();
        }
        String code = member(answer.body(), answer.body().contains("\"code\"") ? "code" : "error");
        String requestId = answer.headers().firstValue("X-Request-Id").orElse("unknown");
        throw new IOException(answer.statusCode() + " " + code + ", request " + requestId);
    }

    private static String member(String json, String name) throws IOException {
        var found = Pattern.compile("\"" + name + "\"\\s*:\\s*\"?([^\",}]+)").matcher(json);
        if (!found.find()) {
            throw new IOException("the answer has no " + name);
        }
        return found.group(1);
    }

    private static String form(Map<String, String> fields) {
        return fields.entrySet().stream()
                .map(field -> field.getKey() + "=" + URLEncoder.encode(field.getValue(), StandardCharsets.UTF_8))
                .collect(Collectors.joining("&"));
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
