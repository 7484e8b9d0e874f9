<?php
// Obeys one command a line, like drive.py; PHP does one thing at a time, so `many` is one call after the other.
require __DIR__ . '/token_holder.php';

while (($line = fgets(STDIN)) !== false) {
    $words = explode(' ', trim($line));
    try {
        echo json_encode(match ($words[0]) {
            'list' => (new OmniLab())->listBookings($words[1]),
            'cancel' => (new OmniLab())->cancelBooking($words[1], $words[2]),
            'many' => count(array_map(fn () => (new OmniLab())->listBookings($words[2]), range(1, (int) $words[1]))),
        }), "\n";
    } catch (RuntimeException $error) {
        echo 'error ', $error->getMessage(), "\n";
    }
}
