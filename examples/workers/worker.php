#!/usr/bin/env php
<?php
/*
 * A worker for Sexton in PHP: the application is booted once, and executes many tasks. docs/WORKERS.md describes the
 * protocol. Put your functions into $handlers, and write into the configuration:
 *
 *     [worker.example]
 *     command = ["php", "/srv/shop/worker.php"]
 *     max_tasks = 1000
 *     max_memory = "256MiB"
 *
 *     [task.welcome]
 *     kind = "worker"
 *     worker = "example"
 */

final class Retry extends Exception
{
    /** The work is not done: try again after this number of seconds, or a duration such as "10m". */
    public function __construct(
        public readonly int|float|string $after,
        string $why = 'later',
        public readonly mixed $payload = null, // of the next attempt, if it changes
    ) {
        parent::__construct($why);
    }
}

/** The work can never be done. */
final class Discard extends Exception
{
}

/** One attempt of a task. */
final class Task
{
    public readonly int $id;
    public readonly string $name;
    public readonly mixed $payload;
    public readonly int $attempt;

    public function __construct(public readonly array $message, private readonly Closure $send)
    {
        $this->id = $message['id'];
        $this->name = $message['name'];
        $this->payload = $message['payload'];
        $this->attempt = $message['attempt'];
    }

    public function progress(?float $percent, ?string $text = null): void
    {
        ($this->send)(['type' => 'progress', 'id' => $this->id, 'percent' => $percent, 'text' => $text]);
    }

    public function log(string $text): void
    {
        ($this->send)(['type' => 'log', 'id' => $this->id, 'text' => $text]);
    }
}

/** Executes tasks with the functions of $handlers, by name, until the end of the input. */
function serve(array $handlers): void
{
    // What programs print goes to the daemon's log: answers have a descriptor of their own.
    $answers = fopen('php://fd/' . getenv('SEXTON_RESULT_FD'), 'w');
    $send = function (array $message) use ($answers): void {
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE;
        $line = json_encode($message, $flags) . "\n";
        for ($sent = 0; $sent < strlen($line); $sent += $count) {
            $count = fwrite($answers, substr($line, $sent));
            if ($count === false || $count === 0) {
                exit(1);
            }
        }
    };
    $send(['type' => 'hello', 'protocol' => 1, 'names' => array_keys($handlers)]);
    while (($line = fgets(STDIN)) !== false) {
        $message = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        if ($message['type'] === 'ping') {
            $send(['type' => 'pong']);
        } elseif ($message['type'] === 'task') {
            $task = new Task($message, $send);
            try {
                $send(['type' => 'result', 'id' => $task->id, 'result' => $handlers[$task->name]($task)]);
            } catch (Retry $retry) {
                $send(['type' => 'retry', 'id' => $task->id, 'after' => $retry->after, 'error' => $retry->getMessage(),
                    'payload' => $retry->payload]);
            } catch (Discard $why) {
                $send(['type' => 'error', 'id' => $task->id, 'error' => $why->getMessage(), 'discard' => true]);
            } catch (Throwable $error) {
                $task->log((string) $error);
                $send(['type' => 'error', 'id' => $task->id, 'error' => get_class($error) . ': ' . $error->getMessage()]);
            }
        }
        // A `cancel` comes while a function runs, and is read when it is over: it is too late then.
    }
}

$handlers = [
    'welcome' => function (Task $task): array {
        $name = $task->payload['name'] ?? 'world';
        $task->progress(50, 'greeting');
        echo "greeting $name\n";
        return ['greeting' => "hello, $name", 'process' => getmypid()];
    },
    'fail' => function (Task $task): never {
        throw new ValueError('no such order');
    },
    'later' => function (Task $task): never {
        if (!($task->payload['again'] ?? false)) {
            throw new Retry(0.1, 'not yet', ['again' => true]);
        }
        throw new Discard('never');
    },
];

serve($handlers);
