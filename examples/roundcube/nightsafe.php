<?php

/**
 * nightsafe's driver for Roundcube's password plugin. It wraps any other driver: the keys are told of the
 * new password before that driver changes the login password, and afterwards whether it did. Whatever
 * fails or is killed on the way, the password that logs in unlocks the mail.
 *
 * It needs PHP 7.4 or newer. Copy this file to plugins/password/drivers/ and say in plugins/password/config.inc.php:
 *
 *   $config['password_driver'] = 'nightsafe';
 *   $config['password_nightsafe_driver'] = 'sql';        // the driver that changes the login password
 *   $config['password_confirm_current'] = true;
 *   // $config['password_nightsafe_command'] = ['/usr/bin/nightsafe'];
 *
 * and in nightsafe.toml, for the user that PHP runs as:
 *
 *   [agent]
 *   allow = { www-data = ["change"] }
 *
 * No password is ever an argument or in the environment of a program, nor in the trace of an error where
 * PHP knows how to keep it out (8.2).
 */
class rcube_nightsafe_password
{
    /** The user has no keys (sysexits.h, EX_NOUSER). */
    const NO_KEYS = 67;
    /** The password so far does not unlock the keys (EX_NOPERM). */
    const OTHER_PASSWORD = 77;

    /** How long one question to the agent may take, in seconds. */
    const PATIENCE = 60;

    /**
     * Changes the password of the keys and of the login.
     *
     * @param string $curpass  The password so far
     * @param string $passwd   The new password
     * @param string $username The login name
     *
     * @return int|array As the wrapped driver answers, or PASSWORD_CONNECT_ERROR
     */
    public function save(
        #[\SensitiveParameter]
        $curpass,
        #[\SensitiveParameter]
        $passwd,
        $username
    ) {
        $wrapped = $this->wrapped_driver();
        if (!$wrapped) {
            return PASSWORD_ERROR;
        }

        list($status, $change) = $this->nightsafe($username, '--stage', "$curpass\0$passwd\0");
        if ($status === self::NO_KEYS) {
            return $wrapped->save($curpass, $passwd, $username);
        }
        if ($status === self::OTHER_PASSWORD) {
            $this->complain("the keys of $username have another password than the login; "
                . 'nightsafe passwd with the old one mends it');
            return $wrapped->save($curpass, $passwd, $username);
        }
        if ($status !== 0) {
            return [
                'code' => PASSWORD_CONNECT_ERROR,
                'message' => 'The keys of your mail cannot follow a change now. Try again later.',
            ];
        }

        $result = $wrapped->save($curpass, $passwd, $username);
        $code = is_array($result) ? $result['code'] : $result;
        if ($code === PASSWORD_SUCCESS) {
            $this->nightsafe($username, '--commit', $change);
        }
        elseif ($code !== PASSWORD_CONNECT_ERROR) {
            $this->nightsafe($username, '--abort', $change);
        }
        // A connection that broke says nothing about the password, and neither does an error that is thrown:
        // then both open the keys, until the next login shows which one counts.

        return $result;
    }

    /**
     * The driver that changes the login password.
     */
    private function wrapped_driver()
    {
        $name = rcmail::get_instance()->config->get('password_nightsafe_driver', 'sql');
        $file = __DIR__ . "/$name.php";
        $class = "rcube_{$name}_password";
        if (!preg_match('/^[a-z0-9_]+$/', $name) || $name === 'nightsafe' || !file_exists($file)) {
            $this->complain("password_nightsafe_driver names no driver: $name");
            return null;
        }
        include_once $file;
        if (!class_exists($class, false) || !method_exists($class, 'save')) {
            $this->complain("password_nightsafe_driver names a broken driver: $name");
            return null;
        }

        return new $class();
    }

    /**
     * Runs `nightsafe passwd` with $input on its standard input.
     *
     * @return array Its status, null where it could not be run or not be waited for, and its output
     */
    private function nightsafe(
        $username,
        $step,
        #[\SensitiveParameter]
        $input
    ) {
        $default = ['/usr/bin/nightsafe'];
        $command = rcmail::get_instance()->config->get('password_nightsafe_command', $default);
        $command = array_merge((array) $command, ['passwd', $step, '--', $username]);
        $pipes = [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']];
        // A list is run as it is, without a shell.
        $process = proc_open($command, $pipes, $pipes, '/', ['PATH' => '/usr/bin:/bin']);
        if (!is_resource($process)) {
            $this->complain("cannot run {$command[0]}");
            return [null, ''];
        }
        fwrite($pipes[0], $input);
        fclose($pipes[0]);
        $output = $this->read_to_end($pipes[1], $pipes[2]);
        if ($output === null) {
            proc_terminate($process, 9);
            proc_close($process);
            $this->complain("{$command[0]} passwd $step does not end");
            return [null, ''];
        }
        $status = proc_close($process);
        if ($status !== 0 && $status !== self::NO_KEYS) {
            $this->complain("passwd $step for $username ended with $status: " . trim($output[1]));
        }

        return [$status, trim($output[0])];
    }

    /**
     * Everything that two pipes say until both end; null where that takes too long.
     */
    private function read_to_end($stdout, $stderr)
    {
        $said = ['', ''];
        $open = [$stdout, $stderr];
        $end = microtime(true) + self::PATIENCE;
        while ($open) {
            $left = $end - microtime(true);
            $ready = $open;
            $none = null;
            if ($left <= 0 || stream_select($ready, $none, $none, (int) ceil($left)) === false) {
                return null;
            }
            foreach ($ready as $pipe) {
                $piece = fread($pipe, 8192);
                $said[$pipe === $stdout ? 0 : 1] .= $piece;
                if ($piece === '' || $piece === false) {
                    fclose($pipe);
                    unset($open[array_search($pipe, $open, true)]);
                }
            }
        }

        return $said;
    }

    /**
     * A line in Roundcube's log. It never holds a password.
     */
    private function complain($line)
    {
        $error = ['code' => 600, 'file' => __FILE__, 'line' => __LINE__, 'message' => "nightsafe: $line"];
        rcube::raise_error($error, true, false);
    }
}
