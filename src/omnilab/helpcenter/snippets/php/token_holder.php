<?php
// OmniLab from PHP with curl and APCu: one token for all processes of a machine, kept until 80 % of its life,
// renewed once after a 401. The cache is shared by the workers of one PHP-FPM; several machines hold a token each.
// With another cache (PSR-6, Redis) replace apcu_fetch, apcu_store and apcu_add, and keep the lock.
declare(strict_types=1);

final class OmniLab
{
    private const ATTEMPTS = 3;
    private const LONGEST_WAIT_SECONDS = 30;

    public function listBookings(string $externalId, int $pageNumber = 1): array
    {
        $query = http_build_query(['external_id' => $externalId, 'page_number' => $pageNumber]);
        return $this->call('GET', "/v1/interactions:fetchContactBookings?$query");
    }

    public function cancelBooking(string $externalId, string $bookingId): array
    {
        $key = 'Idempotency-Key: ' . bin2hex(random_bytes(16)); // what makes it safe to send the call again
        $body = ['external_id' => $externalId, 'booking_id' => $bookingId];
        return $this->call('POST', '/v1/interactions:cancelContactBooking', $body, [$key]);
    }

    private function call(string $method, string $path, ?array $body = null, array $headers = []): array
    {
        $token = $this->token();
        $answer = $this->send($method, $path, $body, [...$headers, "Authorization: Bearer $token"]);
        if ($answer['status'] === 401) { // one retry with a new token, never two
            $token = $this->token(refused: $token);
            $answer = $this->send($method, $path, $body, [...$headers, "Authorization: Bearer $token"]);
        }
        return self::document($answer);
    }

    private function token(?string $refused = null): string
    {
        $name = 'omnilab-token:' . getenv('OMNILAB_CLIENT_ID') . ':' . getenv('OMNILAB_AUDIENCE');
        for ($waited = 0; $waited < 600; $waited++) {
            $held = apcu_fetch($name);
            if ($held && $held['token'] !== $refused && time() < $held['renew_at']) {
                return $held['token'];
            }
            if (apcu_add("$name:lock", 1, 30)) { // the first one asks, the other processes wait for it
                try {
                    return $this->fetchInto($name);
                } finally {
                    apcu_delete("$name:lock");
                }
            }
            usleep(50_000);
        }
        throw new RuntimeException('no token within 30 seconds');
    }

    private function fetchInto(string $name): string
    {
        $asked = time();
        $answer = self::document($this->send('POST', '/v1/oauth:token', [
            'client_id' => getenv('OMNILAB_CLIENT_ID'),
            'client_secret' => getenv('OMNILAB_CLIENT_SECRET'),
            'audience' => getenv('OMNILAB_AUDIENCE'),
            'grant_type' => 'client_credentials',
        ]));
        $held = ['token' => $answer['access_token'], 'renew_at' => $asked + (int) (0.8 * $answer['expires_in'])];
        apcu_store($name, $held, $answer['expires_in']);
        return $held['token'];
    }

    private function send(string $method, string $path, ?array $body = null, array $headers = []): array
    {
        for ($attempt = 1; ; $attempt++) {
            $received = [];
            $curl = curl_init(getenv('OMNILAB_BASE_URL') . $path);
            curl_setopt_array($curl, [
                CURLOPT_CUSTOMREQUEST => $method,
                CURLOPT_HTTPHEADER => [...$headers, 'Content-Type: application/json'],
                CURLOPT_RETURNTRANSFER => true,
                CURLOPT_CONNECTTIMEOUT => 5,
                CURLOPT_TIMEOUT => 10,
                CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$received): int {
                    [$header, $value] = explode(':', $line, 2) + [1 => ''];
                    $received[strtolower($header)] = trim($value);
                    return strlen($line);
                },
            ]);
            if ($body !== null) {
                curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode($body, JSON_THROW_ON_ERROR));
            }
            $text = curl_exec($curl);
            if ($text === false) {
                throw new RuntimeException('OmniLab was not reached: ' . curl_strerror(curl_errno($curl)));
            }
            $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
            $wait = (int) ($received['retry-after'] ?? 1);
            $final = !in_array($status, [429, 503], true) || $wait > self::LONGEST_WAIT_SECONDS;
            if ($final || $attempt === self::ATTEMPTS) {
                return ['status' => $status, 'body' => $text, 'request_id' => $received['x-request-id'] ?? ''];
            }
            sleep($wait);
        }
    }

    private static function document(array $answer): array
    {
        $document = json_decode($answer['body'], true) ?? [];
        if ($answer['status'] < 300) {
            return $document;
        }
        // Safe to log: no token, no secret, no address with a contact's id.
        $code = $document['code'] ?? $document['error'] ?? '';
        throw new RuntimeException("{$answer['status']} $code, request {$answer['request_id']}");
    }
}
