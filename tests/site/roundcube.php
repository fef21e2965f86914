<?php

/**
 * As much of Roundcube as its own password plugin needs to save a password: the plugin and its drivers are
 * the real ones. On standard input, as JSON: plugin (its folder), user, old, new, config. On standard output:
 * what the user is told, empty when all is well. On standard error: what goes into Roundcube's log.
 */
class rcube_plugin
{
    public $home;

    public function __construct($home)
    {
        $this->home = $home;
    }

    public function gettext($name)
    {
        return $name;
    }
}

class rcube
{
    public static function raise_error($error, $log, $ends)
    {
        fwrite(STDERR, $error['message'] . "\n");
    }

    public static function Q($text)
    {
        return $text;
    }
}

class rcube_utils
{
    public static function random_bytes($length)
    {
        return substr(strtr(base64_encode(random_bytes($length)), '+', '.'), 0, $length);
    }
}

class rcmail
{
    public $config;
    public $user;

    private static $one;

    public static function get_instance()
    {
        return self::$one ??= new self();
    }

    public function get_user_name()
    {
        return $this->user;
    }

    public function get_storage()
    {
        return $this;
    }

    // The current password was checked with a login.
    public function check_connection()
    {
        return true;
    }
}

class settings
{
    private $set;

    public function __construct($set)
    {
        $this->set = $set;
    }

    public function get($name, $default = null)
    {
        return $this->set[$name] ?? $default;
    }
}

$asked = json_decode(stream_get_contents(STDIN), true);
require $asked['plugin'] . '/password.php';
$rcmail = rcmail::get_instance();
$rcmail->config = new settings($asked['config']);
$rcmail->user = $asked['user'];
$plugin = new password($asked['plugin']);
foreach (['rc' => $rcmail] as $name => $value) {
    $property = new ReflectionProperty('password', $name);
    $property->setAccessible(true);
    $property->setValue($plugin, $value);
}
$save = new ReflectionMethod('password', '_save');
$save->setAccessible(true);
echo $save->invoke($plugin, $asked['old'], $asked['new']);
